"""The guest book's form."""

from django import forms


class VisitorForm(forms.Form):
    name = forms.CharField(max_length=60, label="Your name")
