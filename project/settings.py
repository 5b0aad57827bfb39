"""Django's settings for every deployment. Values that differ come from `project.env.Env`."""

from __future__ import annotations

import os
import socket
from datetime import timedelta
from typing import Any

from celery.schedules import crontab
from psycopg.conninfo import conninfo_to_dict

from project import content_policy, crashes, env, redis_url, reporting
from project.env import BASE_DIR
from project.logs import logging_config
from workers.inference import tcp

ENV = env.load()
crashes.install()

SECRET_KEY = ENV.secret_key.get_secret_value()
SECRET_KEY_FALLBACKS = [key.get_secret_value() for key in ENV.secret_key_fallbacks]
DEBUG = ENV.debug
ALLOWED_HOSTS = ENV.allowed_hosts
CSRF_TRUSTED_ORIGINS = ENV.csrf_trusted_origins
ROOT_URLCONF = "project.urls"
ASGI_APPLICATION = "project.asgi.application"

INSTALLED_APPS = [
    "unfold.apps.BasicAppConfig",  # before admin, to replace its templates
    "project.apps.AdminConfig",  # Django's admin with this project's site
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "axes",
    "django_celery_beat",
    "django_htmx",
    "ninja",
    "project",
    "aifeature",
    "evals",
]

MIDDLEWARE = [
    "project.failed_requests.FailedRequests",  # first, so that every failure has a reference
    "django.middleware.security.SecurityMiddleware",
    "project.request_encoding.utf8",  # before all code that reads a form
    "project.content_policy.ContentPolicyMiddleware",
    "project.static_files.StaticFilesMiddleware",
    "project.switch_requests.SwitchRequests",  # before sessions: it lends a connection
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "project.visitor_cache.VisitorCacheMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "axes.middleware.AxesMiddleware",  # last: it answers a locked sign-in with 429
]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "project" / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "aifeature.web.context.site",
            ],
        },
    },
]


_WATCHFUL = tcp.watchful(notice_s=ENV.notice_s)
_LIBPQ_NAMES = {
    getattr(socket, name, None): libpq
    for name, libpq in {
        "TCP_KEEPIDLE": "keepalives_idle",
        "TCP_KEEPINTVL": "keepalives_interval",
        "TCP_KEEPCNT": "keepalives_count",
        "TCP_USER_TIMEOUT": "tcp_user_timeout",
    }.items()
}


def _database(url: str, pool_size: int) -> dict[str, Any]:
    """Return a libpq URI in Django's form. Parameters without a Django name are passed to libpq."""
    parts: dict[str, Any] = conninfo_to_dict(url)
    known = {
        "NAME": parts.pop("dbname", ""),
        "USER": parts.pop("user", ""),
        "PASSWORD": parts.pop("password", ""),
        "HOST": parts.pop("host", ""),
        "PORT": str(parts.pop("port", "") or ""),
    }
    # A lost packet must not block a thread for minutes.
    parts.setdefault("connect_timeout", 3)
    for name, value in _WATCHFUL.items():
        parts.setdefault(_LIBPQ_NAMES[name], value)
    # A process that is stopped between two statements must not hold its locks forever. If a setting
    # occurs twice the last value counts, so a URL may override this one.
    limit = "-c idle_in_transaction_session_timeout=10000"
    parts["options"] = f"{limit} {parts.get('options', '')}".strip()
    pool = {"max_size": pool_size, "timeout": 10}
    return {
        "ENGINE": "project.database",
        **known,
        # A call of `aifeature.models.functions` is prepared when a connection makes it the second
        # time. A pooler must support prepared statements: PgBouncer 1.22, with libpq 17 here.
        "OPTIONS": {**parts, "pool": pool, "prepare_threshold": 1},
    }


DATABASES = {"default": _database(ENV.database_url, ENV.database_pool_size)}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

REDIS_URL = ENV.redis_url
# Every Redis client detects dead connections with these options.
REDIS_SOCKET: dict[str, Any] = (
    {}
    if REDIS_URL.startswith("unix:")
    else {"socket_keepalive": True, "socket_keepalive_options": _WATCHFUL}
)
CELERY_BROKER_URL = redis_url.broker_url(ENV.redis_url)
CELERY_BROKER_TRANSPORT_OPTIONS: dict[str, Any] = {
    # Longer than any feature's deadline; the database lease, not Redis, rescues a lost job.
    "visibility_timeout": 3600,
    # Longest time until an answer, in seconds. A consumer's BRPOP takes up to a second. Publishers
    # have a shorter limit (aifeature.services.dispatch.publisher).
    "socket_timeout": 5,
    "socket_connect_timeout": 1,
    # Detects a Redis that acknowledges packets and does not answer, which the kernel cannot detect.
    # It takes up to twice this time and a second.
    "health_check_interval": ENV.notice_s,
    **REDIS_SOCKET,
}
CELERY_BEAT_SCHEDULER = "project.beat:Scheduler"
CELERY_BEAT_MAX_LOOP_INTERVAL = 5  # seconds until an edit of the schedule in admin takes effect

AUTH_PASSWORD_VALIDATORS = [
    *(
        {"NAME": f"django.contrib.auth.password_validation.{name}"}
        for name in (
            "UserAttributeSimilarityValidator",
            "MinimumLengthValidator",
            "CommonPasswordValidator",
            "NumericPasswordValidator",
        )
    ),
    {"NAME": "aifeature.services.sign_in.sign_ins.TokensEndWithThePassword"},
]
AUTHENTICATION_BACKENDS = [
    "aifeature.web.sign_in.Throttle",
    "django.contrib.auth.backends.ModelBackend",
]
# Five failures of one name from one address lock this name at this address for a while.
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_FAILURE_LIMIT = 5
AXES_COOLOFF_TIME = timedelta(minutes=15)
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False  # further attempts do not extend the lock
AXES_RESET_ON_SUCCESS = True
AXES_LOCKOUT_CALLABLE = "aifeature.web.errors.locked_out"
AXES_SENSITIVE_PARAMETERS = ["username", "ip_address"]  # in log lines
AXES_HANDLER = "aifeature.services.sign_in.failures.Handler"
AXES_USERNAME_CALLABLE = "aifeature.services.sign_in.failures.stored_name"
AXES_DISABLE_ACCESS_LOG = True  # successful sign-ins and their addresses are not stored
AXES_ENABLE_ADMIN = False
AXES_VERBOSE = False
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "/"
LOGOUT_REDIRECT_URL = "signed_out"

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_TZ = True
USE_I18N = False

STATIC_URL = "static/"
# The local stack serves files from the packages, without collectstatic.
STATIC_ROOT = None if ENV.local_stack else BASE_DIR / "staticfiles"
WHITENOISE_USE_FINDERS = ENV.local_stack
WHITENOISE_AUTOREFRESH = DEBUG
if not ENV.local_stack:
    STORAGES = {
        "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
        "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
    }

FORWARDED_ALLOW_IPS = ENV.forwarded_allow_ips
SECURE_SSL_REDIRECT = ENV.https
SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^readyz$", r"^metrics$"]  # probes use plain HTTP
if ENV.trust_forwarded_proto:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
SECURE_HSTS_SECONDS = 31_536_000 if ENV.https else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = ENV.https
SECURE_HSTS_PRELOAD = ENV.https
# A browser sends a host's cookies to all of its ports.
_COOKIES_OF_THIS_SITE = f"_{ENV.cookie_suffix}" if ENV.cookie_suffix else ""
SESSION_COOKIE_NAME = f"sessionid{_COOKIES_OF_THIS_SITE}"
CSRF_COOKIE_NAME = f"csrftoken{_COOKIES_OF_THIS_SITE}"
STAFF_COOKIE_NAME = f"staff_browser{_COOKIES_OF_THIS_SITE}"
SESSION_COOKIE_SECURE = ENV.https
CSRF_COOKIE_SECURE = ENV.https
SESSION_COOKIE_HTTPONLY = True
SESSION_ENGINE = "project.sessions"
CSRF_FAILURE_VIEW = "aifeature.web.errors.csrf_failed"
SECURE_REFERRER_POLICY = "same-origin"
CONTENT_SECURITY_POLICY = {"DIRECTIVES": content_policy.PAGES}
X_FRAME_OPTIONS = "DENY"
# A new API token is shown once in a message, which must not be in a cookie.
MESSAGE_STORAGE = "project.notices.NoticeStorage"
DATA_UPLOAD_MAX_MEMORY_SIZE = 2_621_440  # bytes; the API answers 413 above it
FILE_UPLOAD_MAX_MEMORY_SIZE = 262_144  # bytes; the rest of a request is on disk until it is read

DEFAULT_EXCEPTION_REPORTER = "project.crash_pages.Reporter"
LOGGING = logging_config(ENV.log_level)
LOGGING_CONFIG = "logging.config.dictConfig"

UNFOLD = {
    "SITE_TITLE": "AI features",
    "SITE_HEADER": "AI features",
    "SITE_SUBHEADER": "On-call",
    "SITE_SYMBOL": "neurology",
    "SITE_FAVICONS": [
        {"rel": "icon", "type": "image/svg+xml", "href": "project.admin_site.favicon"},
    ],
    "SCRIPTS": ["project.admin_site.focus_script"],
    "SHOW_HISTORY": True,
    "ENVIRONMENT": "project.admin_site.environment",
    "DASHBOARD_CALLBACK": "aifeature.admin.monitoring.overview.dashboard",
    "SIDEBAR": {
        "show_search": True,
        "show_all_applications": False,
        "navigation": "project.admin_site.navigation",
    },
}
FLOWER_URL = ENV.flower_url

# The system's own settings. project/env.py describes each.
AIFEATURE: dict[str, Any] = {
    "PROVIDER": ENV.provider,
    "API_KEY": ENV.anthropic_api_key.get_secret_value() if ENV.anthropic_api_key else None,
    "BASE_URL": ENV.anthropic_base_url,
    "CONNECT_TIMEOUT_S": ENV.provider_connect_timeout,
    "IDLE_TIMEOUT_S": ENV.provider_idle_timeout,
    "LEASE_S": ENV.lease_seconds,
    "WORKER_GRACE_S": ENV.worker_grace_seconds,
    "WEB_THREADS": ENV.web_threads,
    "REQUESTS_PER_SECOND": ENV.web_requests_per_second,
    "REQUESTS_UNDER_WAY": ENV.web_requests_under_way,
    "STATEMENT_TIMEOUT_S": ENV.web_statement_timeout_seconds,
    "STREAMS_PER_USER": ENV.streams_per_user,
    "GLOBAL_DAILY_BUDGET_USD": ENV.global_daily_budget_usd,
    "GLOBAL_MONTHLY_BUDGET_USD": ENV.global_monthly_budget_usd,
    "EVALS_DAILY_BUDGET_USD": ENV.evals_daily_budget_usd,
    "EVALS_RETENTION_DAYS": ENV.evals_retention_days,
    "EVIDENCE_DAYS": ENV.evidence_days,
    "GUARD_EVENT_DAYS": ENV.guard_event_days,
    "RELEASE": ENV.release,
    "SITE_URL": ENV.site_url.rstrip("/"),
    "ALERT_ESCALATION_MINUTES": ENV.alert_escalation_minutes,
    "FEATURE_FLAGS": env.feature_flags(os.environ),
}

CELERY_BEAT_SCHEDULE: dict[str, dict[str, Any]] = {
    "Publish due jobs": {
        "task": "control.sweep",
        # Seconds. The backup of the dispatcher thread. The next run covers a missed one.
        "schedule": 5.0,
        "options": {"queue": "control"},
    },
    "Compare windows with the ledger": {
        "task": "control.reconcile",
        "schedule": 300.0,
        "options": {"queue": "control"},
    },
    "Look at the provider": {
        "task": "control.provider",
        "schedule": 15.0,
        "options": {"queue": "control"},
    },
    "Look at budgets": {
        "task": "control.budgets",
        "schedule": 60.0,
        "options": {"queue": "control"},
    },
    "Look at controls": {
        "task": "control.controls",
        "schedule": 60.0,
        "options": {"queue": "control"},
    },
    "Deliver alerts": {
        "task": "control.alerts",
        # Seconds. A round takes at most five, also if a channel hangs.
        "schedule": 10.0,
        "options": {"queue": "control"},
    },
    "Move ramps and canaries": {
        "task": "control.rollout",
        "schedule": 60.0,
        "options": {"queue": "control"},
    },
    "Delete old content": {
        "task": "control.retention",
        # The first run of a day deletes the content. The others cover a missed run.
        "schedule": crontab(minute="20"),
        "options": {"queue": "control"},
    },
    "Look for cost spikes": {
        "task": "control.cost_spike",
        # Seconds. The task checks once a minute. It does nothing if this minute is checked already.
        "schedule": 20.0,
        "options": {"queue": "control"},
    },
    "Watch the six numbers": {
        "task": "control.numbers",
        # Seconds. The task checks once a minute. It does nothing if this minute is checked already.
        "schedule": 20.0,
        "options": {"queue": "control"},
    },
    "Weekly regression evals": {
        "task": "evals.weekly",
        # Monday, UTC. The first run of a day plans the evaluations. The others cover a missed run.
        "schedule": crontab(minute="0", hour="3-8", day_of_week="1"),
        "options": {"queue": "evals"},
    },
    "Drive regression evals": {
        "task": "evals.drive",
        "schedule": 15.0,
        "options": {"queue": "evals"},
    },
    "Drive shadows": {
        "task": "shadows.drive",
        "schedule": 15.0,
        "options": {"queue": "evals"},
    },
}

if ENV.sentry_dsn:
    reporting.start(ENV.sentry_dsn.get_secret_value())
