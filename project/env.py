"""The environment variables that the project reads, with their types.

`examples` are the documented values: tests/contract/test_settings.py starts the product with each.

A variable may also be read from a file: `SECRET_KEY_FILE=/run/secrets/key` sets SECRET_KEY.
Two more belong to each feature: `AI_FEATURE_<SLUG>_ENABLED` and `AI_FEATURE_<SLUG>_STAFF_ONLY`
(`feature_flags`).

A wrong or missing value stops the process at boot, with the variable's name.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Final, Literal, NamedTuple, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    SecretStr,
    TypeAdapter,
    ValidationError,
    model_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from project import addresses, proxies, redis_url

BASE_DIR = Path(__file__).resolve().parent.parent
LOCAL_DIR = Path(os.environ.get("LOCAL_DIR") or BASE_DIR / ".local")
"""Folder of the local stack's data. While it runs, `stack.env` there holds its environment."""


class ConfigurationError(SystemExit):
    """The environment is wrong. The message has a line for each variable, with its problem."""


def _split(value: object) -> object:
    if not isinstance(value, str):
        return value
    return [part.strip() for part in value.split(",") if part.strip()]


def _proxies(value: object) -> object:
    return proxies.networks(value) if isinstance(value, str) else value


CommaSeparated = Annotated[list[str], NoDecode, BeforeValidator(_split)]
CommaSeparatedSecrets = Annotated[list[SecretStr], NoDecode, BeforeValidator(_split)]
Proxies = Annotated[list[proxies.Network], NoDecode, BeforeValidator(_proxies)]
Origins = Annotated[CommaSeparated, AfterValidator(addresses.origins)]
DatabaseAddress = Annotated[
    str, Field(pattern=r"^postgres(ql)?://"), AfterValidator(addresses.database)
]
RedisAddress = Annotated[
    str, Field(pattern=r"^(rediss?|unix)://"), AfterValidator(redis_url.checked)
]
WebAddress = Annotated[str, AfterValidator(addresses.web)]

_FEWEST_CHARACTERS = 10
"""Fewest different characters of a key. A random key of 32 characters has about twenty."""

_SAMPLES = (
    "django-insecure",
    "changeme",
    "change-me",
    "secret-key",
    "secretkey",
    "example",
    "password",
)
"""Parts of keys that were copied from an example."""


class Env(BaseSettings):
    """The environment. A variable's name is its field's name in capitals."""

    model_config = SettingsConfigDict(
        env_file=LOCAL_DIR / "stack.env", env_ignore_empty=True, extra="ignore"
    )

    secret_key: SecretStr = Field(min_length=32)
    """Key that signs sessions, tokens and idempotency keys. At least 32 characters. No default."""

    secret_key_fallbacks: CommaSeparatedSecrets = Field(default_factory=list)
    """Comma-separated earlier values of SECRET_KEY, newest first. Sessions that they signed stay
    valid, and idempotency keys that they signed still match. Keep a value for a day longer than
    the longest time for which a feature keeps content (retention_days, by default 30)."""

    database_url: DatabaseAddress = Field(
        examples=[
            "postgresql://app@db/app",
            "postgres://app:password@db:5432/app?connect_timeout=5",
            "postgresql://app@/app?host=/run/postgresql",
            "postgresql://app@db/app?options=-c%20statement_timeout%3D60s",
        ]
    )
    """libpq URI of PostgreSQL, for example `postgresql://app@db/app`. Tested with version 18. The
    database's encoding must be UTF8. With a pooler, see docs/operations/database.md. No default."""

    database_pool_size: int = Field(default=20, ge=2, le=500, examples=[20, 100])
    """Connections in the pool of one process. A job holds none during a provider call. A worker has
    one more, and a web process up to four more while a kill switch is flipped."""

    peer_timeout_seconds: int = Field(default=8, ge=2, le=50, examples=[8, 4])
    """Seconds without an acknowledged packet after which a connection to PostgreSQL or Redis counts
    as lost. The effective value is at most two thirds of LEASE_SECONDS, so that a worker keeps its
    jobs meanwhile."""

    redis_url: RedisAddress = Field(
        examples=[
            "redis://cache:6379/0",
            "redis://user:password@cache:6379/1",
            "rediss://:password@cache:6380/0?ssl_ca_certs=/etc/ssl/cache.pem",
            "unix:///run/redis/redis.sock?db=0",
        ]
    )
    """Redis 6.2+ or Valkey, for example `redis://cache:6379/0`, `rediss://` with TLS, or
    `unix:///run/redis/redis.sock?db=0`. `rediss://` verifies the certificate unless
    `?ssl_cert_reqs=none`. It may lose its data at any time. No default."""

    anthropic_api_key: SecretStr | None = None
    """The provider's API key. Processes that make no calls run without it."""

    anthropic_base_url: WebAddress | None = Field(
        default=None, examples=["https://gateway.example/anthropic", "http://127.0.0.1:8090"]
    )
    """Another address with the Messages API. Unset: the provider's own."""

    provider: Literal["anthropic", "sandbox"] = "anthropic"
    """The provider's name in the ledger. The local stack sets `sandbox` if there is no API key."""

    debug: bool = False
    """Django's DEBUG. Never in production."""

    local_stack: bool = False
    """Set by `manage.py stack`: plain HTTP, static files without collectstatic, demo users."""

    allowed_hosts: CommaSeparated = Field(
        default_factory=list, examples=["app.example, 127.0.0.1", "*"]
    )
    """Comma-separated host names of this site."""

    csrf_trusted_origins: Origins = Field(
        default_factory=list, examples=["https://app.example, https://*.app.example"]
    )
    """Comma-separated origins (scheme and host) of a site behind a proxy that ends TLS."""

    cookie_suffix: str = Field(default="", pattern=r"^[A-Za-z0-9]{0,32}$", examples=["b", "8001"])
    """Letters and digits at the end of cookie names. Sites that share a host name, for example on
    different ports, need different suffixes, otherwise they sign each other's visitors out."""

    https: bool = True
    """Send cookies only over TLS, redirect HTTP to HTTPS, and send HSTS. Off in the local stack."""

    forwarded_allow_ips: Proxies = Field(
        default_factory=list, examples=["10.0.0.2, 10.0.1.0/24", "127.0.0.1, ::1"]
    )
    """Comma-separated addresses and networks of proxies. Their X-Forwarded-For gives the visitor,
    their X-Forwarded-Proto the scheme. Without it all visitors share the proxy's address and lock
    one another out. A proxy that connects to a Unix socket of WEB_BIND needs no entry. See
    docs/operations/behind-a-proxy.md."""

    trust_forwarded_proto: bool = False
    """Whether a proxy in front ends TLS and sets X-Forwarded-Proto itself. Leave it off without
    such a proxy, since clients could then set the header."""

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    """Log level of web, workers and beat. Celery's own option does not change it."""

    sentry_dsn: Annotated[SecretStr, AfterValidator(addresses.dsn)] | None = Field(
        default=None, examples=["https://key@sentry.example/1"]
    )
    """DSN of the error reports. Unset: no reports. Prompts and outputs are never sent."""

    flower_url: Annotated[str, AfterValidator(addresses.web_or_empty)] = Field(
        default="", examples=["https://flower.example/", "http://127.0.0.1:5555/"]
    )
    """Flower's address, linked from admin. Empty: no link."""

    site_url: Annotated[str, AfterValidator(addresses.web_or_empty)] = Field(
        default="", examples=["https://app.example", "http://127.0.0.1:8000"]
    )
    """This site's address, for links in messages to alert channels. Empty: messages name the page
    only."""

    alert_escalation_minutes: int = Field(default=15, ge=1, le=1_440, examples=[15, 5])
    """Minutes after which an open alert that is not acknowledged goes to the escalation channels.
    See docs/operations/alert-channels.md."""

    global_daily_budget_usd: Annotated[Decimal, Field(ge=0, le=1_000_000_000)] | None = Field(
        default=None, examples=["250", "99.50"]
    )
    """Cap on one UTC day's spend over all features, in US dollars. Unset: the sum of the features'
    daily caps and EVALS_DAILY_BUDGET_USD. A value set in admin, at "Everything", overrides it."""

    global_monthly_budget_usd: Annotated[Decimal, Field(ge=0, le=1_000_000_000)] | None = Field(
        default=None, examples=["5000"]
    )
    """Cap on one UTC month's spend over all features, in US dollars. Unset: no cap. A value set in
    admin overrides it."""

    evals_daily_budget_usd: Annotated[Decimal, Field(ge=0, le=1_000_000_000)] = Field(
        default=Decimal(20), examples=["20"]
    )
    """Cap on one UTC day's spend of all evaluations, in US dollars. It is part of the global caps,
    and of no feature's."""

    evals_retention_days: int = Field(default=180, ge=1, le=3650, examples=[180, 30])
    """Days after which the outputs of an evaluation are deleted. Its scores, verdict and costs
    stay. Its jobs lose their content as users' jobs do, after the days of their feature."""

    evidence_days: int = Field(default=30, ge=1, le=365, examples=[30, 90])
    """Days for which evidence permits to activate a prompt, or to open a feature to more users. It
    never stops a prompt that is live."""

    guard_event_days: int = Field(default=180, ge=30, le=3650, examples=[180, 30])
    """Days after which a row of the guards' audit log is deleted, with its evidence: a few words of
    an input or an answer, without personal data. They may outlive the content of their job."""

    release: str = Field(default="", max_length=80, examples=["2026.11.3", "3f2a91c"])
    """Name of the release that runs, such as a tag or a commit. A change of it is shown as a deploy
    beside alerts and in charts. Empty: a digest of the project's files."""

    lease_seconds: int = Field(default=15, ge=3, le=600, examples=[15, 60])
    """Seconds for which a job stays with a worker that sends no heartbeat."""

    worker_grace_seconds: float = Field(default=20, ge=0, le=3600, examples=[20, 0, 1.5])
    """Seconds that running jobs have to end when their worker stops. After that their calls are
    aborted and they return to the queue. Must be shorter than the orchestrator's own limit."""

    web_bind: CommaSeparated = Field(
        default_factory=lambda: ["127.0.0.1:8000"],
        examples=["127.0.0.1:8000", "0.0.0.0:8000, unix:/run/app/web.sock", "[::1]:8000"],
    )
    """Comma-separated addresses on which the web server listens: `host:port` or `unix:path`. A
    process that can connect to the Unix socket can claim any visitor's address: put it in a folder
    that only the proxy can open."""

    web_concurrency: int = Field(default=2, ge=1, le=256, examples=[2, 1])
    """Web processes."""

    web_graceful_timeout: int = Field(default=30, ge=1, le=600, examples=[30, 5])
    """Seconds that a stopping web process has for the requests it has begun."""

    web_threads: int = Field(default=8, ge=2, le=200, examples=[8, 16])
    """Requests that one web process handles at the same time, without those that wait for a job.
    Set it a few lower than DATABASE_POOL_SIZE, so that no thread waits for a connection."""

    web_requests_per_second: float = Field(
        default=10, ge=0, le=1_000_000, allow_inf_nan=False, examples=[10, 0, 2.5]
    )
    """Requests per second of one user to one web process, after a burst of five times as many. An
    address without a sign-in may send five times as many. 0: no limit."""

    web_requests_under_way: int = Field(default=1_000, ge=1, le=1_000_000, examples=[1_000, 5_000])
    """Concurrent requests of one user to one web process, including those that wait for a job. An
    address without a sign-in may have five times as many. Each holds a file descriptor, so
    RLIMIT_NOFILE must be higher: see docs/operations/web.md."""

    web_statement_timeout_seconds: float = Field(default=10, ge=0, le=600, examples=[10, 0])
    """Seconds one database statement of a web process may take. 0: no limit."""

    streams_per_user: int = Field(default=10, ge=1, examples=[10, 3])
    """Most open streams of one user in one web process."""

    provider_connect_timeout: float = Field(default=5.0, gt=0, le=60, examples=[5, 2.5])
    """Seconds to open a connection to the provider."""

    provider_idle_timeout: float = Field(default=60.0, gt=0, le=600, examples=[60, 30])
    """Seconds without one byte from the provider before a call counts as timed out."""

    @model_validator(mode="after")
    def _safe_outside_the_local_stack(self) -> Self:
        if self.local_stack:
            return self
        if self.debug:
            raise ValueError("DEBUG=true shows settings and code to visitors: unset it")
        for name, key in [
            ("SECRET_KEY", self.secret_key),
            *(("SECRET_KEY_FALLBACKS", each) for each in self.secret_key_fallbacks),
        ]:
            if problem := _weakness(key.get_secret_value()):
                raise ValueError(
                    f"{name} {problem}. Make one with"
                    " `python -c 'import secrets; print(secrets.token_urlsafe(48))'`"
                )
        return self

    @property
    def notice_s(self) -> int:
        """Seconds until a lost connection is detected; see `peer_timeout_seconds`."""
        return min(self.peer_timeout_seconds, self.lease_seconds * 2 // 3)

    @model_validator(mode="after")
    def _sandbox_only_locally(self) -> Self:
        if self.provider == "sandbox" and not self.local_stack:
            raise ValueError("PROVIDER=sandbox is for the local stack: unset it")
        return self


def _weakness(key: str) -> str:
    """Return why a key is easy to guess, as the rest of a sentence. Return "" if it is not."""
    if len(key) < Env.model_fields["secret_key"].metadata[0].min_length:
        return "has fewer than 32 characters"
    if any(sample in key.lower() for sample in _SAMPLES):
        return "was copied from an example"
    if len(set(key)) < _FEWEST_CHARACTERS:
        return f"has fewer than {_FEWEST_CHARACTERS} different characters"
    half = len(key) // 2
    if any(key == (key[:n] * len(key))[: len(key)] for n in range(1, half + 1)):
        return "repeats itself"
    return ""


class FeatureFlags(NamedTuple):
    """Flags of the environment for one feature. They never give it to more users."""

    enabled: bool = True
    """False: no user may use it. `AI_FEATURE_<SLUG>_ENABLED=false`."""
    staff_only: bool = False
    """True: only staff may use it. `AI_FEATURE_<SLUG>_STAFF_ONLY=true`."""


FEATURE_FLAG: Final = "AI_FEATURE_"
"""The beginning of the variables of single features."""

_FLAG = re.compile(rf"{FEATURE_FLAG}([A-Z][A-Z0-9_]*)_(ENABLED|STAFF_ONLY)")
_BOOL: Final[TypeAdapter[bool]] = TypeAdapter(bool)


def feature_flags(environ: Mapping[str, str]) -> dict[str, FeatureFlags]:
    """Return the flags of each feature that the environment names, by slug.

    An empty variable counts as unset, as for the other settings.

    >>> feature_flags({"AI_FEATURE_SUMMARIZE_STAFF_ONLY": "true"})
    {'summarize': FeatureFlags(enabled=True, staff_only=True)}

    Raises:
        ConfigurationError: a value is not a boolean, or a variable with this beginning has another
            end. One line for each.
    """
    found: dict[str, FeatureFlags] = {}
    problems = []
    for name, value in sorted(environ.items()):
        if not name.upper().startswith(FEATURE_FLAG) or not value:
            continue
        match = _FLAG.fullmatch(name.upper())
        if match is None:
            problems.append(f"{name}: write {FEATURE_FLAG}<SLUG>_ENABLED or ..._STAFF_ONLY")
            continue
        slug, flag = match[1].lower(), match[2].lower()
        try:
            given = _BOOL.validate_python(value)
        except ValidationError:
            problems.append(f"{name}: set it to true or false (also 1, 0, yes, no, on, off)")
            continue
        found[slug] = found.get(slug, FeatureFlags())._replace(**{flag: given})
    if problems:
        raise ConfigurationError("\n".join(problems))
    return found


def _from_files() -> dict[str, Any]:
    """Return the values given as `<NAME>_FILE`, without surrounding white space."""
    values: dict[str, Any] = {}
    for field in Env.model_fields:
        name = f"{field.upper()}_FILE"
        if path := os.environ.get(name):
            try:
                values[field] = Path(path).read_text(encoding="utf-8").strip()
            except OSError as error:
                raise ConfigurationError(f"{name}: cannot read {path}: {error.strerror}") from None
            except UnicodeDecodeError:
                raise ConfigurationError(f"{name}: {path} is not UTF-8 text") from None
    return values


def load() -> Env:
    """Read and check the environment.

    Raises:
        ConfigurationError: one line for each variable that is missing or wrong. It contains no
            values, since some are secrets.
    """
    try:
        return Env(**_from_files())
    except ValidationError as error:
        lines = []
        for problem in error.errors(include_input=False, include_url=False):
            name = str(problem["loc"][0]).upper() if problem["loc"] else "environment"
            lines.append(f"{name}: {problem['msg']} (see project/env.py)")
        raise ConfigurationError("\n".join(lines)) from None
