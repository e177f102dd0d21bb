"""What flags count."""

from __future__ import annotations

from apps.flags.definitions import FLAGS
from apps.telemetry.metrics import counter

FLAG_CHANGES = counter("flag_changes_total", "Changes of a flag's database value", ("flag",))
for _flag in FLAGS:
    FLAG_CHANGES.labels(_flag.name)
