import django.db.models.deletion
from django.db import migrations, models

# Their names follow from table and column, on both databases. Dropping them is all there is to do: to alter the columns
# would have SQLite copy the tables.
INDEXES = {
    "execution_position": "execution_position_account_id_6a8c2ea0",
    "execution_execution": "execution_execution_account_id_2c8e41d6",
    "execution_order": "execution_order_account_id_4dca3dd9",
}


def without_index(model: str, related_name: str) -> migrations.AlterField:
    account = models.ForeignKey(
        db_index=False,
        on_delete=django.db.models.deletion.PROTECT,
        related_name=related_name,
        to="execution.account",
    )
    return migrations.AlterField(model_name=model, name="account", field=account)


class Migration(migrations.Migration):
    """An epoch's index names nearly all rows of these tables, and is written by every decision."""

    dependencies = [("execution", "0003_lease_and_reconciliation")]

    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[
                migrations.RunSQL(
                    f'DROP INDEX "{index}"', reverse_sql=f'CREATE INDEX "{index}" ON "{table}" ("account_id")'
                )
                for table, index in INDEXES.items()
            ],
            state_operations=[
                without_index("position", "positions"),
                without_index("execution", "executions"),
                without_index("order", "orders"),
            ],
        )
    ]
