"""The audit log over HTTP: read, recompute, verify."""

from __future__ import annotations

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.audit.records import StoredRecord
from apps.audit.rendering import record_document
from apps.audit.replaying import replay_record
from apps.audit.selectors import audit_get, audit_latest, audit_verify
from apps.engine.errors import UnknownName
from apps.web.queries import Param, read_query

MAX_LIMIT = 200
RAW = OpenApiParameter("raw", bool, description="Floats as exact texts, and the canonical body that was hashed.")


def _record(audit_id: str) -> StoredRecord:
    try:
        return audit_get(audit_id)
    except UnknownName as error:
        raise NotFound(str(error)) from error


class AuditLatestView(APIView):
    """The newest records, first to last."""

    @extend_schema(
        parameters=[
            OpenApiParameter("limit", int, description=f"How many, 1 to {MAX_LIMIT}; 5 by default."),
            OpenApiParameter("kind", str, description="Only records of this kind."),
            OpenApiParameter("symbol", str, description="Only records of this symbol."),
            RAW,
        ],
        responses=OpenApiTypes.OBJECT,
    )
    def get(self, request: Request) -> Response:
        query = read_query(
            request,
            Param("limit", "int", default=5, low=1, high=MAX_LIMIT),
            Param("kind", "text"),
            Param("symbol", "symbol"),
            Param("raw", "bool", default=False),
        )
        records = audit_latest(query["limit"], query["kind"], query["symbol"])
        return Response([record_document(record, raw=query["raw"]) for record in records])


class AuditRecordView(APIView):
    """One record: why this trade, or why none."""

    @extend_schema(parameters=[RAW], responses=OpenApiTypes.OBJECT)
    def get(self, request: Request, audit_id: str) -> Response:
        query = read_query(request, Param("raw", "bool", default=False))
        return Response(record_document(_record(audit_id), raw=query["raw"]))


class AuditReplayView(APIView):
    """Recompute a decision from its own inputs; changes nothing."""

    @extend_schema(request=None, responses=OpenApiTypes.OBJECT)
    def post(self, request: Request, audit_id: str) -> Response:
        result = replay_record(_record(audit_id))
        return Response(
            {
                "audit_id": result.audit_id,
                "matches": result.matches,
                "differences": [difference._asdict() for difference in result.differences],
            }
        )


class AuditVerifyView(APIView):
    """Is the log intact since the last verified checkpoint?"""

    @extend_schema(responses=OpenApiTypes.OBJECT)
    def get(self, request: Request) -> Response:
        read_query(request)
        result = audit_verify()
        return Response(
            {
                "intact": result.intact,
                "records": result.records,
                "verified_from": result.verified_from,
                "head_hash": result.head_hash,
                "first_broken": result.first_broken._asdict() if result.first_broken else None,
            }
        )
