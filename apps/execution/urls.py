"""Routes of trading, of the router's dry run, and of the page that explains a decision."""

from apps.execution import account_api, api, buttons, views
from apps.web.routes import route

urlpatterns = [
    route("api/exec/plan-and-execute", api.PlanAndExecuteView, name="exec-plan-and-execute"),
    route("api/exec/executions", api.ExecutionsView, name="exec-executions"),
    route("api/exec/sizing/last", api.SizingLastView, name="exec-sizing-last"),
    route("api/trading/paper/order", api.PaperOrderView, name="trading-paper-order"),
    route("api/trading/orders", api.OrdersView, name="trading-orders"),
    route("api/trading/orders/<order_id>", api.OrderView, name="trading-order"),
    route("api/trading/positions", account_api.PositionsView, name="trading-positions"),
    route("api/trading/flatten", api.FlattenView, name="trading-flatten"),
    route("api/trading/account", account_api.AccountView, name="trading-account"),
    route("api/trading/account/reset", account_api.AccountResetView, name="trading-account-reset"),
    route("api/router/snapshot", api.RouterSnapshotView, name="router-snapshot"),
    route("api/router/choose", api.RouterChooseView, name="router-choose"),
    route("desk/flatten", buttons.FlattenButton, name="desk-flatten"),
    route("decisions/<audit_id>", views.decision, name="decision"),
    route("orders/<order_id>", views.order, name="order"),
]
