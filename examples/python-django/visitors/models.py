"""What is kept of a visitor."""

from django.db import models


class Visitor(models.Model):
    name = models.CharField(max_length=60)
    at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-id"]
