from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("risk", "0001_initial")]

    operations = [
        migrations.RenameField("breakertrip", "drawdown_bps", "observed"),
        migrations.AddField("breakertrip", "kind", models.CharField(default="rolling_drawdown", max_length=32)),
        migrations.AddField("breakertrip", "symbol", models.CharField(blank=True, default="", max_length=32)),
        migrations.AddField("breakertrip", "audit_sequence", models.BigIntegerField(default=0)),
        migrations.AlterField("breakertrip", "window_start_fill", models.BigIntegerField(default=0)),
        migrations.AddIndex(
            "breakertrip", models.Index(fields=["kind", "symbol", "-id"], name="breaker_trip_newest")
        ),
    ]
