from importlib import import_module
from importlib.util import find_spec

from django.apps import AppConfig


class RiskConfig(AppConfig):
    name = "apps.risk"
    label = "risk"

    def ready(self) -> None:
        """Flags lie below risk and cannot import the fence, so it is handed to them."""
        from apps.risk import fence

        if find_spec("apps.flags.services") is not None:
            register = getattr(import_module("apps.flags.services"), "register_fence", None)
            if register is not None:
                register(fence.exclusive)
