"""The flags over HTTP: read by anybody trusted, flipped by an operator."""

from __future__ import annotations

from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.engine.errors import InvalidInput
from apps.flags import selectors, services
from apps.flags.definitions import FLAGS
from apps.web.actors import actor_of
from apps.web.bodies import read_map
from apps.web.casing import DataMap
from apps.web.clock import market_ms
from apps.web.problems import InvalidFields
from apps.web.queries import Param, read_query
from apps.web.values import iso_ms

DEFAULT_REASON = "set over the API"
_EXAMPLE = OpenApiExample("flags", value={"ExecutionRouter": True, "DataQuality": "strict"})


class FlagsView(APIView):
    """Every flag and its value; POST the ones to change."""

    @extend_schema(
        parameters=[OpenApiParameter("detail", bool, description="Add source, who and when")],
        responses={200: OpenApiTypes.OBJECT},
        examples=[_EXAMPLE],
    )
    def get(self, request: Any) -> Response:
        query = read_query(request, Param("detail", "bool", default=False))
        if not query["detail"]:
            return Response(DataMap(selectors.flags_current()))
        return Response(DataMap({name: _timed(detail) for name, detail in selectors.flags_detail().items()}))

    @extend_schema(
        parameters=[OpenApiParameter("reason", str, description="Why, for the audit")],
        request=OpenApiTypes.OBJECT,
        responses={200: OpenApiTypes.OBJECT},
        examples=[_EXAMPLE],
    )
    def post(self, request: Any) -> Response:
        query = read_query(request, Param("reason", "text", default=DEFAULT_REASON))
        changes = _checked(read_map(request))
        services.flags_set(changes=changes, actor=actor_of(request), reason=query["reason"], ts_ms=market_ms())
        return Response(DataMap(selectors.flags_current()))


def _checked(sent: dict[str, Any]) -> dict[str, Any]:
    """The changes, or every fault at once; names are told as they were sent."""
    faults = []
    for name, value in sent.items():
        try:
            FLAGS.get(name).check(value)
        except InvalidInput as error:
            faults.append((name, str(error) if name in FLAGS else "is not a flag"))
    if faults:
        raise InvalidFields(faults)
    return sent


def _timed(detail: dict[str, Any]) -> dict[str, Any]:
    changed_at_ms = detail.pop("changed_at_ms")
    return {**detail, "changed_at": iso_ms(changed_at_ms) if changed_at_ms is not None else None}
