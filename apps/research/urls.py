"""Routes of research."""

from apps.dashboard import views as dashboard
from apps.research import api, views
from apps.web.routes import route

urlpatterns = [
    route("api/research/backtests", api.BacktestsView, name="research-backtests"),
    route("api/research/backtests/<run_id>", api.BacktestView, name="research-backtest"),
    route("research", dashboard.page, name="research", page_name="research"),
    route("research/backtests/<run_id>", views.backtest, name="backtest"),
]
