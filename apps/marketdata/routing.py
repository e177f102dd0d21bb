"""Which WebSocket paths are there?"""

from __future__ import annotations

from channels.auth import AuthMiddlewareStack
from django.urls import re_path

from apps.marketdata.consumers import PricesConsumer

websocket_urlpatterns = [re_path(r"^ws/prices/?$", AuthMiddlewareStack(PricesConsumer.as_asgi()))]
