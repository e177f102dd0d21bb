from __future__ import annotations

import uuid
from typing import Any

import django.db.models.deletion
from django.db import migrations, models
from django.db.models import Count


def count_what_is_stored(apps: Any, schema_editor: Any) -> None:
    """The series of bars that were stored before they were counted."""
    bar, series = apps.get_model("marketdata", "Bar"), apps.get_model("marketdata", "BarSeries")
    for symbol, interval, n_bars in bar.objects.values_list("symbol_id", "interval").annotate(n=Count("id")):
        series.objects.create(symbol_id=symbol, interval=interval, key=uuid.uuid4().hex, n_bars=n_bars)


class Migration(migrations.Migration):
    dependencies = [("marketdata", "0004_order_rules")]

    operations = [
        migrations.CreateModel(
            name="BarSeries",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("interval", models.CharField(max_length=4)),
                ("key", models.CharField(max_length=32)),
                ("n_bars", models.BigIntegerField(default=0)),
                (
                    "symbol",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="marketdata.symbol",
                    ),
                ),
            ],
            options={
                "verbose_name_plural": "bar series",
                "constraints": [
                    models.UniqueConstraint(fields=("symbol", "interval"), name="one_count_per_series")
                ],
            },
        ),
        migrations.RunPython(count_what_is_stored, migrations.RunPython.noop),
    ]
