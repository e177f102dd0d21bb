"""The ASGI application: HTTP through Django, WebSockets through Channels."""

from __future__ import annotations

from tradedesk.env import prepare_process

prepare_process()

from channels.routing import ProtocolTypeRouter, URLRouter  # noqa: E402 - the environment comes first

from apps.web.asgi import desk_handler  # noqa: E402

_http = desk_handler()

from apps.marketdata.routing import websocket_urlpatterns  # noqa: E402 - needs the app registry

application = ProtocolTypeRouter({"http": _http, "websocket": URLRouter(websocket_urlpatterns)})
