from typing import Any

from django.db import migrations


def staff_by_role(apps: Any, schema_editor: Any) -> None:
    """Operators and owners may open the admin; nobody could before."""
    User = apps.get_model("accounts", "User")
    User.objects.filter(role__in=("operator", "owner")).update(is_staff=True)


class Migration(migrations.Migration):
    dependencies = [("accounts", "0001_initial")]

    operations = [migrations.RunPython(staff_by_role, migrations.RunPython.noop)]
