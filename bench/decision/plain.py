"""The plain way: a DRF serializer in, as many ORM statements in one transaction, a DRF serializer out, no logic."""

from __future__ import annotations

from itertools import count
from typing import Any, ClassVar

import orjson
from django.db import models, transaction
from rest_framework import serializers
from rest_framework.parsers import JSONParser
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from bench.decision.floor import INSERT, N_FACTS, READ, answers, scripts

_turn, _id = count(), count(10**9)


class Fact(models.Model):
    """What a decision reads and changes."""

    id = models.BigIntegerField(primary_key=True)
    n = models.BigIntegerField()
    text = models.CharField(max_length=200)

    class Meta:
        app_label, managed, db_table = "bench", False, "bench_fact"


class Row(models.Model):
    """What a decision adds."""

    id = models.BigIntegerField(primary_key=True)
    at = models.BigIntegerField()
    text = models.TextField()

    class Meta:
        app_label, managed, db_table = "bench", False, "bench_row"


class Asked(serializers.Serializer[Any]):
    """The request: a decision's symbol, or a person's order."""

    symbol = serializers.RegexField(r"^[A-Z0-9]{1,20}$")
    side = serializers.ChoiceField(["BUY", "SELL"], required=False)
    type = serializers.ChoiceField(["MARKET"], required=False)
    quantity = serializers.DecimalField(max_digits=30, decimal_places=8, required=False)


class Guard(serializers.Serializer[Any]):
    name = serializers.CharField()
    verdict = serializers.CharField()
    observed = serializers.CharField()
    limit = serializers.CharField()
    unit = serializers.CharField()
    isUnknown = serializers.BooleanField()


class Holding(serializers.Serializer[Any]):
    before = serializers.DecimalField(max_digits=30, decimal_places=8)
    after = serializers.DecimalField(max_digits=30, decimal_places=8)


class Told(serializers.Serializer[Any]):
    """The answer: the members of an execution record that are plain values, and its guards."""

    executionId = serializers.CharField()
    symbol = serializers.CharField()
    policyId = serializers.CharField(allow_null=True)
    signal = serializers.FloatField(allow_null=True)
    requestedSize = serializers.DecimalField(max_digits=30, decimal_places=8)
    finalSize = serializers.DecimalField(max_digits=30, decimal_places=8)
    side = serializers.CharField(allow_null=True)
    fillPrice = serializers.DecimalField(max_digits=30, decimal_places=8, allow_null=True)
    fee = serializers.DecimalField(max_digits=30, decimal_places=8)
    orderId = serializers.CharField(allow_null=True)
    status = serializers.CharField()
    blocked = serializers.BooleanField()
    reason = serializers.CharField(allow_null=True)
    detail = serializers.CharField(allow_null=True)
    guards = Guard(many=True)
    auditId = serializers.CharField()
    contentHash = serializers.CharField()
    ts = serializers.CharField()


class PlainView(APIView):
    """Nobody is asked who they are, so that only serializers, ORM and connections are measured."""

    authentication_classes: ClassVar[list[Any]] = []
    permission_classes: ClassVar[list[Any]] = []
    parser_classes: ClassVar[list[Any]] = [JSONParser]
    renderer_classes: ClassVar[list[Any]] = [JSONRenderer]

    def post(self, request: Request, case: str) -> Response:
        asked = Asked(data=request.data)
        asked.is_valid(raise_exception=True)
        script = scripts[case][next(_turn) % len(scripts[case])]
        with transaction.atomic():
            for number, (kind, size) in enumerate(script):
                self._statement(kind, size, number % N_FACTS)
        return Response(Told(orjson.loads(answers[case])).data)

    def _statement(self, kind: str, size: int, fact: int) -> None:
        if kind == READ:
            Fact.objects.filter(pk=fact).first()
        elif kind == INSERT:
            Row.objects.create(id=next(_id), at=fact, text="x" * size)
        else:
            Fact(id=fact, n=fact, text="x" * min(size, 200)).save(force_update=True)
