"""Routes of the strategy room."""

from apps.strategy import api
from apps.web.routes import route

urlpatterns = [
    route("api/regime/state", api.RegimeStateView, name="regime-state"),
    route("api/strategy/policies", api.PoliciesView, name="strategy-policies"),
]
