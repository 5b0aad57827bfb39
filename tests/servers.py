"""Pytest plugin: PostgreSQL and Valkey for the run, and an environment without real services.

`-p tests.servers` loads it before Django's settings are read. If DATABASE_URL or REDIS_URL is set,
that server is used instead.
"""

from __future__ import annotations

import atexit
import gc
import os
import signal
import subprocess
import sys
from collections.abc import Iterable
from contextlib import ExitStack, suppress
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import hypothesis
import psycopg
import pytest
from psycopg import sql

from project.stack.children import PYTHON
from project.stack.local_dir import CHECKOUT
from project.stack.throwaway import servers, stand_in_settings

if TYPE_CHECKING:
    from collections.abc import Generator
    from types import FrameType

    from aifeature.spec import Feature

NO_RUN = frozenset({"--help", "-h", "--version", "-V", "--fixtures", "--markers"})
SECRETS = ("ANTHROPIC_AUTH_TOKEN", "SENTRY_DSN", "DEMO_PASSWORDS")
"""Removed from the environment, so that no test uses a real one."""

BROWSER = Path(__file__).parent / "browser"

WORKER: Final = "PYTEST_XDIST_WORKER"
TEMPLATE: Final = "MIGRATED_DATABASE"
"""Variable with the name of a migrated database. It is set if the server belongs to the run."""

MIGRATE: Final = "import gc, sys, manage; gc.disable(); sys.exit(manage.main())"
"""Runs a command of manage.py without garbage collection, which takes a third of a migration."""

_running = ExitStack()


class MigrateError(Exception):
    """The migrations fail on an empty database."""


def _exit(signum: int, _frame: FrameType | None) -> None:
    """Exit normally, so that the servers are stopped."""
    sys.exit(128 + signum)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> Generator[None, object, object]:
    """Start the servers before pytest-django reads the settings, once for all workers."""
    gc.disable()  # until the tests are loaded
    worker = os.environ.get(WORKER)
    if worker is not None:
        _own_redis_database(int(worker.removeprefix("gw")) + 1)
    elif not NO_RUN & set(early_config.invocation_params.args):
        _start()
    return (yield)


@pytest.hookimpl(trylast=True)
def pytest_configure() -> None:
    """Change settings after pytest-django has set Django up."""
    from django.conf import settings  # noqa: PLC0415 (reads the environment made above)

    settings.PASSWORD_HASHERS = ["tests.passwords.OneRound"]
    # A second `django.setup()`, by an ASGI application or by a worker in a thread, would configure
    # logging again and remove the handler through which a running test reads the log.
    settings.LOGGING_CONFIG = None
    if TEMPLATE in os.environ and WORKER in os.environ:
        _copy_the_migrated_database()
    _empty_tables_quickly()
    _find_static_files_once()
    _read_suites_once()
    _judge_no_speed()


@pytest.fixture(autouse=True)
def _a_test_may_compute_between_two_statements(request: pytest.FixtureRequest) -> None:
    """Remove the product's limit on idle transactions, since a slow test may exceed it."""
    if "db" not in request.fixturenames and not request.node.get_closest_marker("django_db"):
        return
    request.getfixturevalue("db")
    from django.db import connection  # noqa: PLC0415 (Django is ready only now)

    if connection.in_atomic_block:
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL idle_in_transaction_session_timeout = 0")


KEPT: Final = {"django_content_type", "auth_permission"}
"""Tables that list the models. They are the same in each test."""


def _empty_tables_quickly() -> None:
    """Empty the tables between tests by DELETE, without their triggers and foreign keys.

    TRUNCATE creates new files for each table and each index, which takes longer than most tests. So
    does creating all permissions again.
    """
    from django.core.management.commands import flush  # noqa: PLC0415 (Django is ready now)
    from django.db.backends.postgresql.operations import DatabaseOperations  # noqa: PLC0415

    def deletes(operations: Any, _style: Any, tables: Iterable[str], **_: object) -> list[str]:
        names = (operations.quote_name(each) for each in tables if each not in KEPT)
        every = [f"DELETE FROM {name}" for name in names]  # noqa: S608 (names of tables)
        # Together, since forty round trips take as long as the deletion.
        return ["; ".join(("SET LOCAL session_replication_role = replica", *every))]

    DatabaseOperations.sql_flush = deletes  # type: ignore[method-assign,assignment]
    vars(flush)["emit_post_migrate_signal"] = lambda *_, **__: None


def _copy_the_migrated_database() -> None:
    """Make each test database as a copy of the one that the run migrates once.

    Django migrates the copy as well, which applies nothing.
    """
    from django.db.backends.postgresql.creation import DatabaseCreation  # noqa: PLC0415

    create = DatabaseCreation.create_test_db

    def create_copy(creation: Any, *arguments: Any, **options: Any) -> str:
        _migrate_once()
        creation.connection.settings_dict["TEST"]["TEMPLATE"] = os.environ[TEMPLATE]
        return create(creation, *arguments, **options)

    DatabaseCreation.create_test_db = create_copy  # type: ignore[method-assign,assignment]


def _migrate_once() -> None:
    """Migrate the template, unless a process of this run has done so.

    Raises:
        MigrateError: with the output of `migrate`.
    """
    url, name = os.environ["DATABASE_URL"], os.environ[TEMPLATE]
    with psycopg.connect(url, autocommit=True) as server:
        server.execute("SELECT pg_advisory_lock(1)")  # until this connection ends
        found = "SELECT FROM pg_database WHERE datname = %s AND datistemplate"
        if server.execute(found, [name]).fetchone() is not None:
            return
        template = sql.Identifier(name)
        server.execute(sql.SQL("DROP DATABASE IF EXISTS {}").format(template))
        server.execute(sql.SQL("CREATE DATABASE {}").format(template))
        done = subprocess.run(
            [PYTHON, "-c", MIGRATE, "migrate", "-v0"],
            cwd=CHECKOUT,
            env={**os.environ, "DATABASE_URL": urlsplit(url)._replace(path=f"/{name}").geturl()},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise MigrateError(done.stdout + done.stderr)
        complete = "ALTER DATABASE {} WITH IS_TEMPLATE true ALLOW_CONNECTIONS false"
        server.execute(sql.SQL(complete).format(template))


def _find_static_files_once() -> None:
    """Share the static files between all clients of a process.

    Each `django.test.Client` builds its own middleware, and WhiteNoise then reads 200 files, which
    takes longer than most requests.
    """
    from project.static_files import StaticFilesMiddleware  # noqa: PLC0415 (needs settings)

    find, found = StaticFilesMiddleware.add_files_from_finders, dict[str, Any]()

    def add_found(middleware: Any) -> None:
        if not found:
            find(middleware)
            found.update(middleware.files)
        middleware.files.update(found)

    StaticFilesMiddleware.add_files_from_finders = add_found


def _read_suites_once() -> None:
    """Keep each suite that was read, as long as its files and its feature stay the same.

    A page of prompts reads the suite of each version, which takes longer than the rest of the page.
    """
    from aifeature import suites  # noqa: PLC0415 (needs settings)

    load = suites.load
    found: dict[object, tuple[Feature, suites.Suite]] = {}

    def load_once(feature: Feature, *, path: Path | None = None) -> suites.Suite:
        cases = path or suites.file(feature.slug)
        folder = suites.folder(feature.slug)
        files = (cases, cases.with_name(suites.ABOUT), folder / suites.FILE, folder / suites.SIMPLE)
        texts = tuple(each.read_bytes() if each.is_file() else None for each in files)
        sections = tuple(feature.sources()) if feature.sources else ()
        key = (id(feature), files, texts, sections)
        if key not in found:
            found[key] = (feature, load(feature, path=path))  # the feature, so that it keeps its id
        return found[key][1]

    suites.load = load_once


def _judge_no_speed() -> None:
    """Accept slow examples of Hypothesis, since the machine may be busy."""
    patient = hypothesis.settings(
        deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
    )
    hypothesis.settings.register_profile("patient", patient)
    hypothesis.settings.load_profile("patient")


@pytest.hookimpl(trylast=True)  # after the random order
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Begin with the browser tests, and let each worker of xdist begin with its long tests.

    One after the other, the browser tests share one browser and one site. At the end of a run,
    xdist would divide them between its workers, and each would start both. A long test at the end
    would keep one worker busy while the others are done.
    """
    items.sort(key=lambda item: not _needs_browser(item.path))
    workers: int = getattr(config, "workerinput", {}).get("workercount", 1)
    # xdist gives each worker a part like these.
    ends = [len(items) * number // workers for number in range(workers + 1)]
    for begin, end in pairwise(ends):
        items[begin:end] = sorted(items[begin:end], key=_place)


def _place(item: pytest.Item) -> int:
    """Return the place of a test: with a browser, with a time-out of its own, any other."""
    if _needs_browser(item.path):
        return 0
    return 1 if item.get_closest_marker("timeout") else 2


@cache  # ten thousand tests are in a few hundred files
def _needs_browser(path: Path) -> bool:
    return BROWSER in path.parents


@pytest.hookimpl(wrapper=True)
def pytest_collection(session: pytest.Session) -> Generator[None, object, object]:
    """Load the tests without garbage collection, and leave them out of the later ones.

    Meanwhile the process that started the workers of xdist migrates the database for them. If that
    fails, each worker tries again and reports it.
    """
    try:
        distributes = session.config.getoption("dist", "no") != "no" and WORKER not in os.environ
        if distributes and TEMPLATE in os.environ:
            with suppress(MigrateError):
                _migrate_once()
        return (yield)
    finally:
        gc.freeze()
        gc.set_threshold(50_000, 20, 20)
        gc.enable()


def pytest_unconfigure() -> None:
    """Stop the servers at the end of the run, also after Ctrl-C."""
    _running.close()


def _start() -> None:
    for signum in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, _exit)
    atexit.register(_running.close)
    for name in (*SECRETS, TEMPLATE):
        os.environ.pop(name, None)
    database = not os.environ.get("DATABASE_URL")
    redis = not os.environ.get("REDIS_URL")
    os.environ.update(stand_in_settings())
    os.environ["WEB_REQUESTS_PER_SECOND"] = "0"  # most tests send requests faster than people do
    # Workers start later and inherit this environment.
    os.environ.update(_running.enter_context(servers(database=database, redis=redis)))
    if database:
        os.environ[TEMPLATE] = "migrated"


def _own_redis_database(number: int) -> None:
    """Give each xdist worker its own Redis database. The servers have 64."""
    base, _, _ = os.environ["REDIS_URL"].rpartition("/")
    os.environ["REDIS_URL"] = f"{base}/{number}"
