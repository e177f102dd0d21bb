"""Which WebSocket paths are there?"""

from __future__ import annotations

from django.urls import re_path

from apps.marketdata.consumers import PricesConsumer

websocket_urlpatterns = [re_path(r"^ws/prices/?$", PricesConsumer.as_asgi())]
