"""How is this record tied to what was read and to the record before it, and how is it recomputed?"""

from __future__ import annotations

from typing import Any

from apps.dashboard.detail import Cell, Section, Table
from apps.dashboard.formats import pretty_json


def proof_section(document: dict[str, Any]) -> Section:
    """Versions, and the hashes that tie the record to its inputs and into the chain."""
    versions = document.get("versions") or {}
    pairs: list[tuple[str, Cell | str]] = [("Record", str(document["sequence"]))]
    if "controlsSequence" in document:
        pairs.append(("Controls as of record", str(document["controlsSequence"])))
    pairs += [(name.capitalize(), Cell(str(version), mono=True)) for name, version in versions.items()]
    hashes = [
        ("Audit id", document["auditId"]),
        ("Inputs", document["inputsHash"]),
        ("Posterior snapshot", (document.get("inputs") or {}).get("snapshot")),
        ("Content", document["contentHash"]),
        ("Previous record", document["previousHash"]),
        ("This record, chained", document["recordHash"]),
    ]
    rows = [(name, Cell(text, mono=True)) for name, text in hashes if text]
    return Section("Proof", pairs=pairs, table=Table(("Hash", "SHA-256"), rows))


def replay_section(audit_id: str, address: str) -> Section:
    """The lines that recompute this decision from its own inputs."""
    lines = f"curl -s -X POST {address}/api/audit/{audit_id}/replay\n.venv/bin/python manage.py replay {audit_id}"
    note = "Recomputes this decision from its recorded inputs and names every difference, or says that all is equal."
    return Section("Replay", note=note, json=lines)


def record_section(document: dict[str, Any]) -> Section:
    return Section("The whole record", json=pretty_json(document), is_folded=True)
