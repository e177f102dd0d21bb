"""A server on the edge alone, run as a process of its own by the body limit's test. Prints its port when it listens."""

from __future__ import annotations

from apps.web.body_limit import DeskServer  # isort: skip - installs the reactor

import django
from django.core.asgi import get_asgi_application
from twisted.internet import reactor


def main() -> None:
    django.setup()
    server = DeskServer(get_asgi_application(), ["tcp:port=0:interface=127.0.0.1"])

    def announce() -> None:
        print(server.listening_addresses[0][1], flush=True)

    reactor.callLater(0.1, announce)
    server.run()


if __name__ == "__main__":
    main()
