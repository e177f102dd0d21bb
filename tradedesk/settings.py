"""Django settings, derived from the table in `tradedesk.env`."""

from __future__ import annotations

import os
import secrets
from decimal import Decimal
from pathlib import Path

import dj_database_url

from tradedesk.env import BASE_DIR, INTERVALS_MS, engine_hash, prepare_process, read_setting, var_dir

prepare_process()
SYMBOLS: tuple[str, ...] = read_setting("SYMBOLS")
INTERVAL: str = read_setting("INTERVAL")
EXCHANGE: str = read_setting("EXCHANGE")
EXCHANGE_REST_URL: str = read_setting("EXCHANGE_REST_URL")
EXCHANGE_WS_URL: str = read_setting("EXCHANGE_WS_URL")
EXCHANGE_SECOND_REST_URL: str = read_setting("EXCHANGE_SECOND_REST_URL")
CROSS_CHECK_MINUTES: int = read_setting("CROSS_CHECK_MINUTES")
SIM_SEED: int = read_setting("SIM_SEED")
SIM_PORT: int = read_setting("SIM_PORT")
HISTORY_BARS: int = read_setting("HISTORY_BARS")
INITIAL_CASH: Decimal = read_setting("INITIAL_CASH")
MAX_NOTIONAL: Decimal = read_setting("MAX_NOTIONAL")
SYMBOL_NOTIONAL_CAP: Decimal = read_setting("SYMBOL_NOTIONAL_CAP")
MAX_DD: Decimal = read_setting("MAX_DD")
DRAWDOWN_WINDOW_TRADES: int = read_setting("DRAWDOWN_WINDOW_TRADES")
BREAKER_MINUTES: int = read_setting("BREAKER_MINUTES")
ORDERS_PER_MINUTE: int = read_setting("ORDERS_PER_MINUTE")
MAX_ORDER_NOTIONAL: Decimal = read_setting("MAX_ORDER_NOTIONAL")
HARD_DD: Decimal = read_setting("HARD_DD")
DAILY_LOSS: Decimal = read_setting("DAILY_LOSS")
REPEAT_ORDERS: int = read_setting("REPEAT_ORDERS")
PRICE_COLLAR: Decimal = read_setting("PRICE_COLLAR")
FILTERS_STALE_HOURS: int = read_setting("FILTERS_STALE_HOURS")
COOLDOWN_MINUTES: int = read_setting("COOLDOWN_MINUTES")
STOPLOSS_GUARD_TRADES: int = read_setting("STOPLOSS_GUARD_TRADES")
STOPLOSS_GUARD_LOOKBACK_MINUTES: int = read_setting("STOPLOSS_GUARD_LOOKBACK_MINUTES")
STOPLOSS_GUARD_MINUTES: int = read_setting("STOPLOSS_GUARD_MINUTES")
LOW_PROFIT_TRADES: int = read_setting("LOW_PROFIT_TRADES")
LOW_PROFIT: Decimal = read_setting("LOW_PROFIT")
LOW_PROFIT_LOOKBACK_MINUTES: int = read_setting("LOW_PROFIT_LOOKBACK_MINUTES")
LOW_PROFIT_MINUTES: int = read_setting("LOW_PROFIT_MINUTES")
PROTECT_STOP: Decimal = read_setting("PROTECT_STOP")
PROTECT_TAKE: Decimal = read_setting("PROTECT_TAKE")
STALE_AFTER_MS: int = read_setting("STALE_AFTER_MS")
ENTRY_LATENCY_MS: int = read_setting("ENTRY_LATENCY_MS")
FILLS: str = read_setting("FILLS")
FEE_BPS: int = read_setting("FEE_BPS")
FEE_ASSET: str = read_setting("FEE_ASSET")
ALLOW_SHORT: bool = read_setting("ALLOW_SHORT")
REBALANCE_BAND: Decimal = read_setting("REBALANCE_BAND")
ROUTER_MODE: str = read_setting("ROUTER_MODE")
ROUTER_SEED: int = read_setting("ROUTER_SEED")
FALLBACK_POLICY: str = read_setting("FALLBACK_POLICY")
AUTOPILOT: bool = read_setting("AUTOPILOT")
KILL_SWITCH: bool = read_setting("KILL_SWITCH")
DATABASE_URL: str = read_setting("DATABASE_URL")
REDIS_URL: str = read_setting("REDIS_URL")
PROFILE: str = read_setting("PROFILE")
POLICY_PATHS: tuple[str, ...] = read_setting("POLICY_PATHS")
LOG_LEVEL: str = read_setting("LOG_LEVEL")

VERSION = "0.1.0"
VAR_DIR = var_dir()
TRADEDESK_VAR = Path(VAR_DIR)
TRADEDESK_DATA = BASE_DIR / read_setting("TRADEDESK_DATA")
ENGINE_HASH = engine_hash()
INTERVAL_MS = INTERVALS_MS[INTERVAL]
HORIZON_BARS: int = int(read_setting("HORIZON_BARS") or (5 if EXCHANGE == "simulated" else 60))


def _secret_key() -> str:
    given = read_setting("SECRET_KEY")
    if given:
        return str(given)
    path = VAR_DIR / "secret.key"
    if not path.exists():
        path.touch(mode=0o600)
        path.write_text(secrets.token_urlsafe(48))
    return path.read_text()


SECRET_KEY = _secret_key()
DEBUG = False
ALLOWED_HOSTS = list(read_setting("ALLOWED_HOSTS"))
EMBEDDED = read_setting("PROFILE") == "embedded"

INSTALLED_APPS = [
    "daphne",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django_prometheus",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "channels",
    "apps.web",
    "apps.accounts",
    "apps.telemetry",
    "apps.dashboard",
    "apps.audit",
    "apps.flags",
    "apps.marketdata",
    "apps.strategy",
    "apps.risk",
    "apps.canary",
    "apps.execution",
    "apps.research",
    "tradedesk",
]

MIDDLEWARE = [
    "apps.web.middleware.MethodAllowList",
    "apps.web.inline.PrometheusBefore",
    "apps.web.middleware.RequestId",
    "apps.web.inline.Security",
    "apps.web.inline.StaticFiles",
    "apps.web.middleware.BodyLimit",
    "apps.web.inline.Session",
    "apps.web.inline.Common",
    "apps.web.inline.Csrf",
    "apps.web.inline.Authentication",
    "apps.web.inline.Messages",
    "apps.web.inline.XFrameOptions",
    "apps.web.inline.ContentSecurityPolicy",
    "apps.web.inline.PrometheusAfter",
]
APPEND_SLASH = False
ROOT_URLCONF = "tradedesk.urls"
ASGI_APPLICATION = "tradedesk.asgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]


def _databases() -> dict[str, dict[str, object]]:
    url = read_setting("DATABASE_URL")
    if url:
        database = dj_database_url.parse(url, conn_max_age=0)
        database["ENGINE"] = "django_prometheus.db.backends.postgresql"
        options = database.setdefault("OPTIONS", {})
        options["pool"] = {"min_size": 1, "max_size": 8, "timeout": 10}
        # Without a threshold psycopg prepares nothing, not even what asks for it; never of its own accord.
        options["prepare_threshold"] = 2**31
        return {"default": dict(database)}
    return {
        "default": {
            "ENGINE": "django_prometheus.db.backends.sqlite3",
            "NAME": VAR_DIR / "tradedesk.sqlite3",
            "OPTIONS": {
                "transaction_mode": "IMMEDIATE",
                "timeout": 20,
                "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON; "
                "PRAGMA recursive_triggers=ON; PRAGMA journal_size_limit=27103364;",
            },
            "TEST": {"NAME": os.environ.get("TEST_DATABASE", str(VAR_DIR / "test.sqlite3"))},
        }
    }


DATABASES = _databases()
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
AUTH_USER_MODEL = "accounts.User"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.Argon2PasswordHasher"]
CSRF_FAILURE_VIEW = "apps.web.error_views.csrf_failure"
PROMETHEUS_LATENCY_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, float("inf"))
LOGIN_URL = "/login"
LOGIN_REDIRECT_URL = "/"
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_HTTPONLY = True
CHANNEL_LAYERS = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}

LANGUAGE_CODE = "en-us"
USE_I18N = False
TIME_ZONE = "UTC"
USE_TZ = True
STATIC_URL = "/static/"
STATICFILES_DIRS = [BASE_DIR / "static"]
STATIC_ROOT = VAR_DIR / "static"
STATIC_ROOT.mkdir(exist_ok=True)
WHITENOISE_USE_FINDERS = True
WHITENOISE_AUTOREFRESH = False

REST_FRAMEWORK = {
    "DEFAULT_RENDERER_CLASSES": ["apps.web.renderers.CamelCaseJSONRenderer", "apps.web.renderers.BrowsableRenderer"],
    "DEFAULT_PARSER_CLASSES": ["apps.web.parsers.StrictJSONParser"],
    "DEFAULT_PERMISSION_CLASSES": ["apps.web.permissions.RoleTablePermission"],
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "apps.accounts.authentication.BearerTokenAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "EXCEPTION_HANDLER": "apps.web.problems.exception_handler",
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "UNAUTHENTICATED_USER": "django.contrib.auth.models.AnonymousUser",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "tradedesk",
    "DESCRIPTION": "A crypto desk that trades on paper and can prove every decision it took.",
    "VERSION": VERSION,
    "OAS_VERSION": "3.1.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
}
CONTENT_SECURITY_POLICY = {
    "EXCLUDE_URL_PREFIXES": ("/api/docs", "/admin"),
    "DIRECTIVES": {
        "default-src": ["'none'"],
        "script-src": ["'self'"],
        "style-src": ["'self'"],
        "connect-src": ["'self'"],
        "img-src": ["'self'", "data:"],
        "font-src": ["'self'"],
        "base-uri": ["'none'"],
        "form-action": ["'self'"],
        "frame-ancestors": ["'none'"],
    },
}
SECURE_REFERRER_POLICY = "same-origin"
DATA_UPLOAD_MAX_MEMORY_SIZE = 65_536
BODY_LIMIT_BYTES = 65_536

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s %(message)s"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["stderr"], "level": read_setting("LOG_LEVEL")},
    "loggers": {
        name: {"level": "WARNING"} for name in ("httpx", "httpcore", "websockets", "asyncio", "aiohttp", "daphne")
    },
}
