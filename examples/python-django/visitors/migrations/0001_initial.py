"""Makes the table of visitors."""

from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True
    dependencies = []
    operations = [
        migrations.CreateModel(
            name="Visitor",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.CharField(max_length=60)),
                ("at", models.DateTimeField(auto_now_add=True)),
            ],
            options={"ordering": ["-id"]},
        )
    ]
