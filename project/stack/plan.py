"""The plan of the real stack: its servers, its components and the demo."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Literal

from project.stack.children import PYTHON, Child
from project.stack.components import django_components
from project.stack.console import NOTE, row, say
from project.stack.demo import run_demo
from project.stack.environment import stack_environment, write_env_file
from project.stack.errors import ComponentFailedError, TimeLimitError
from project.stack.external import External, external_services
from project.stack.local_dir import CHECKOUT
from project.stack.pick_up import PickUp
from project.stack.ports import HOST, take_port
from project.stack.postgres import EmbeddedPostgres
from project.stack.runner import Prepared, Session, run_step
from project.stack.secrets import API_USER, FLOWER_USER, Secrets, load_secrets
from project.stack.valkey import EmbeddedValkey

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from project.stack.supervisor import Tick

Mode = Literal["stay", "demo", "smoke"]

PREFERRED_PORTS = {"web": 8000, "flower": 5555, "sandbox": 8090}
VALKEY_PORT = 6390
MIGRATE_S = 300.0
CHECK_S = 20.0
"""Seconds that the check of changed features may take."""

FEATURES = CHECKOUT / "aifeature" / "features"


class RealPlan:
    """Embedded servers unless the environment names others, and all of components.py."""

    def __init__(self, mode: Mode, *, is_empty: bool = False) -> None:
        """Read the environment and connect to each service that it names.

        Args:
            mode: The step after the start.
            is_empty: Whether the mode `demo` leaves out the synthetic days.

        Raises:
            ConfigError: a service cannot be reached.
        """
        self._mode = mode
        self._has_synthetic_days = mode == "demo" and not is_empty
        self._external: External = external_services(os.environ)
        self._secrets: Secrets | None = None
        self._ports: dict[str, int] = {}
        self._notes: list[str] = []

    def prepare(self, session: Session) -> Prepared:
        """Start the servers, write the environment file, migrate, and make the demo users."""
        secrets = self._secrets = load_secrets(session.local)
        servers, database_url, redis_url = self._servers(session)
        for name, preferred in PREFERRED_PORTS.items():
            if name != "sandbox" or self._external.sandbox:
                self._ports[name] = session.exits.enter_context(take_port(preferred))
        values = stack_environment(
            local=session.local,
            secrets=secrets,
            external=self._external,
            database_url=database_url,
            redis_url=redis_url,
            ports=self._ports,
        )
        write_env_file(session.local, values)
        # Before the first import: a change that is saved from now on is one.
        pick_up = PickUp(
            FEATURES, lambda tick: _check_features(session, values, secrets, tick), self._web_url
        )
        self._migrate(session, values, secrets)
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("ANTHROPIC_")}
        return Prepared(
            django_components(
                logs=session.local.logs,
                ports=self._ports,
                flower_password=secrets.flower_password,
            ),
            {**inherited, "PYTHONUNBUFFERED": "1", **values},
            servers,
            self._web_url,
            pick_up,
        )

    def when_ready(self, tick: Tick) -> int | None:
        """Print notes, run the demo if the mode includes it, print addresses and sign-ins."""
        code = 0
        for line in self._notes:
            say(line)
        secrets = self._secrets
        if secrets is None:
            raise RuntimeError("call prepare() first")
        if self._mode != "stay":
            code = run_demo(self._web_url, secrets.passwords, tick)
        if self._mode == "smoke" or code:
            return code
        for line in addresses(self._web_url, self._ports["flower"], secrets):
            say(line)
        return None

    @property
    def _web_url(self) -> str:
        return f"http://{HOST}:{self._ports['web']}/"

    def _servers(self, session: Session) -> tuple[list[Child], str, str]:
        """Start the servers that the environment does not name, at the same time."""
        servers: list[Child] = []
        waits: list[tuple[str, str, Callable[[Callable[[], None]], None]]] = []
        begun = time.monotonic()
        redis_url = self._external.redis_url
        if redis_url is None:
            port = session.exits.enter_context(take_port(VALKEY_PORT))
            valkey = EmbeddedValkey(session.local.valkey, session.launcher, port=port)
            servers.append(session.server(valkey.start()))
            redis_url = valkey.url
            waits.append(("valkey", valkey.address, valkey.ready))
        else:
            row("redis", "external", "from REDIS_URL")
        database_url = self._external.database_url
        if database_url is None:
            postgres = EmbeddedPostgres(session.local.postgres, session.launcher)
            session.exits.callback(postgres.remove_socket)
            servers.append(session.server(postgres.start(session.stop.check)))
            database_url = postgres.url
            waits.append(("postgres", database_url, postgres.ready))
        else:
            row("database", "external", "from DATABASE_URL; migrations and demo users go there")
        for name, address, ready in waits:
            ready(session.stop.check)
            row(name, "ready", f"{address}  ({time.monotonic() - begun:.1f} s)")
        return servers, database_url, redis_url

    def _migrate(self, session: Session, values: dict[str, str], secrets: Secrets) -> None:
        """Migrate the database and make the demo users, in one process."""
        begun = time.monotonic()
        options = ["--migrate"]
        if self._has_synthetic_days:
            row("migrations", "running", "and 28 synthetic days are loaded into a new database")
            options.append("--synthetic")
        self._notes = _demo_users(
            session, "migrate", values, secrets, *options, timeout_s=MIGRATE_S
        )
        row("migrations", "done", f"({time.monotonic() - begun:.1f} s)")


def _check_features(
    session: Session, values: Mapping[str, str], secrets: Secrets, tick: Tick
) -> None:
    """Check changed features and open new ones. Raises ComponentFailedError."""
    try:
        found = _demo_users(session, "features", values, secrets, timeout_s=CHECK_S, tick=tick)
    except TimeLimitError:
        raise ComponentFailedError(
            f"The check did not end in {CHECK_S:.0f} s: does the code wait while it is imported?"
        ) from None
    for line in found:
        say(line)


def _demo_users(
    session: Session,
    step: str,
    values: Mapping[str, str],
    secrets: Secrets,
    *options: str,
    timeout_s: float,
    tick: Tick = lambda: None,
) -> list[str]:
    """Check the code, make the demo users and open new features. Return the command's notes.

    Raises ComponentFailedError.
    """
    passwords = ",".join(f"{name}:{word}" for name, word in secrets.passwords.items())
    output = run_step(
        session,
        step,
        [PYTHON, str(CHECKOUT / "manage.py"), "demo_users", *options],
        env={
            **values,
            "DEMO_PASSWORDS": passwords,
            "DEMO_TOKEN": f"{API_USER}:{secrets.demo_token}",
        },
        timeout_s=timeout_s,
        tick=tick,
    )
    return [each.removeprefix(NOTE) for each in output.splitlines() if each.startswith(NOTE)]


def addresses(web_url: str, flower_port: int, secrets: Secrets) -> list[str]:
    """Return the lines with the addresses and sign-ins of a running stack.

    Lines that begin with `export` are for a shell. The README's commands use these variables.
    """
    sign_ins = [
        f"sign in as {name:<7} {word:<14}"
        f" ({'staff: admin and dashboard' if name == 'staff' else 'a normal user'})"
        for name, word in secrets.passwords.items()
    ]
    return [
        "",
        f"web      {web_url}",
        f"tour     {web_url}tour/",
        f"admin    {web_url}admin/",
        f"dashboard {web_url}dashboard/",
        f"flower   http://{HOST}:{flower_port}/",
        "",
        *sign_ins,
        f"Flower     {FLOWER_USER:<10} {secrets.flower_password}",
        "",
        f"For the API as {API_USER}, in another terminal:",
        f"export URL={web_url.rstrip('/')}",
        f"export TOKEN={secrets.demo_token}",
        "",
        "Ctrl-C stops everything; so does `make stop` in another terminal.",
    ]
