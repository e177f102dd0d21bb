from django.apps import AppConfig


class RiskConfig(AppConfig):
    name = "apps.risk"
    label = "risk"

    def ready(self) -> None:
        """Flags lie below risk and cannot import the fence, so it is handed to them."""
        from apps.flags.services import register_fence
        from apps.risk import fence

        register_fence(fence.exclusive)
