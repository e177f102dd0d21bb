"""How are the database and the channel layer? The parts of health that belong to no trading app."""

from __future__ import annotations

import time
from typing import Any

from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer
from django.db import DatabaseError, connection, transaction
from django.db.migrations.executor import MigrationExecutor

from apps.telemetry import health

SLOW_DB_MS = 200.0
_migrated: set[str] = set()


def db() -> dict[str, Any]:
    """One query there and back."""
    started = time.perf_counter()
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
        cursor.fetchone()
    latency_ms = round((time.perf_counter() - started) * 1000, 3)
    status = health.OK if latency_ms < SLOW_DB_MS else health.DEGRADED
    return {"latency_ms": latency_ms, "engine": connection.vendor, "status": status}


def channel_layer() -> dict[str, Any]:
    """A message there and back."""
    layer = get_channel_layer()
    if layer is None:
        return {"backend": None, "status": health.DOWN}
    started = time.perf_counter()
    async_to_sync(_round_trip)(layer)
    latency_ms = round((time.perf_counter() - started) * 1000, 3)
    return {"backend": type(layer).__name__, "latency_ms": latency_ms}


async def _round_trip(layer: Any) -> None:
    channel = await layer.new_channel()
    await layer.send(channel, {"type": "health.echo"})
    await layer.receive(channel)


def db_write() -> dict[str, Any]:
    """Whether a transaction that writes can begin: a full disk, a read-only file or a standby cannot."""
    started = time.perf_counter()
    with transaction.atomic(), connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SELECT pg_current_xact_id()")
        else:
            cursor.execute("PRAGMA user_version")
            version = cursor.fetchone()[0]
            cursor.execute(f"PRAGMA user_version = {int(version)}")
        transaction.set_rollback(True)
    return {"latency_ms": round((time.perf_counter() - started) * 1000, 3)}


def migrations() -> dict[str, Any]:
    """Whether every migration is applied. Once they are, they stay so for this process and database."""
    name = str(connection.settings_dict["NAME"])
    if name not in _migrated:
        executor = MigrationExecutor(connection)
        pending = executor.migration_plan(executor.loader.graph.leaf_nodes())
        if pending:
            raise DatabaseError(f"{len(pending)} migrations are not applied, first {pending[0][0]}")
        _migrated.add(name)
    return {}


def register_all() -> None:
    """Called once, when the app is ready."""
    health.register("db", db, critical=True)
    health.register("channel_layer", channel_layer)
    health.register_ready("db", db_write)
    health.register_ready("migrations", migrations)
