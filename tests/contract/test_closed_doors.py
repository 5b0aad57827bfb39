"""Pages and orders that are not for strangers need a sign-in or a password."""

from __future__ import annotations

import base64
import http.client
import os
import re
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver
from django.urls.resolvers import RoutePattern

from aifeature.policies.sign_in import WINDOW
from project.log_flood import PER_MINUTE
from project.stack.children import Child, Launcher
from project.stack.components import Component, django_components
from project.stack.ports import HOST, take_port
from project.stack.secrets import FLOWER_USER
from tests.system import environment

pytestmark = pytest.mark.slow

PASSWORD = secrets.token_urlsafe(9)
START_S = 100.0

OPEN_OF_FLOWER = {"/healthcheck", "/metrics"}
"""They hold names of tasks and workers, and no content."""

OPEN_OF_WEB = {
    *("/healthz", "/readyz", "/admin/login/", "/admin/logout/"),
    *("/accounts/login/", "/accounts/logout/", "/accounts/signed-out/"),
    *("/api/v1/openapi.json", "/api/v1/docs"),
}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where Flower writes its log."""
    return tmp_path_factory.mktemp("flower")


@pytest.fixture(scope="module")
def flower(root: Path) -> Iterator[int]:
    """The port of a Flower that runs as the local stack runs it."""
    launcher = Launcher(root, root, secrets.token_hex(8))
    with take_port(5655) as port:
        component = _flower(root, port)
        servers = {name: os.environ[name] for name in ("DATABASE_URL", "REDIS_URL")}
        env = {**environment(servers), **component.env}
        child = launcher.launch("flower", component.argv, env=env)
        try:
            _wait_until_ready(component, child)
            yield port
        finally:
            child.stop()


def _flower(logs: Path, port: int) -> Component:
    parts = django_components(logs=logs, ports={"web": 0, "flower": port}, flower_password=PASSWORD)
    return next(part for part in parts if part.name == "flower")


def _wait_until_ready(component: Component, child: Child) -> None:
    until = time.monotonic() + START_S
    while not component.ready():
        child.check()
        assert time.monotonic() < until, "Flower did not start"
        time.sleep(0.1)


STRANGER = "127.0.0.2"
"""Another address of this machine: failures from there block no other client."""


def status(*call: Any, **options: Any) -> int:
    """Return the status of Flower's answer."""
    return answered(*call, **options).status


def answered(
    port: int,
    method: str,
    path: str,
    password: str | None = None,
    *,
    user: str = FLOWER_USER,
    source: str = HOST,
) -> http.client.HTTPResponse:
    """The answer of Flower."""
    connection = http.client.HTTPConnection(HOST, port, timeout=60, source_address=(source, 0))
    headers = {}
    if password is not None:
        credentials = base64.b64encode(f"{user}:{password}".encode()).decode()
        headers["Authorization"] = f"Basic {credentials}"
    try:
        connection.request(method, path, headers=headers)
        return connection.getresponse()
    finally:
        connection.close()


FLOWER_PAGES = (
    *("/", "/workers", "/worker/x", "/task/x", "/tasks", "/tasks/datatable", "/broker"),
    *("/api/workers", "/api/tasks", "/api/task/types", "/api/queues/length", "/api/task/info/x"),
)
FLOWER_ORDERS = (
    *("/api/worker/shutdown/x", "/api/worker/pool/shrink/x", "/api/worker/pool/restart/x"),
    *("/api/worker/queue/cancel-consumer/x", "/api/task/revoke/x", "/api/task/rate-limit/x"),
    *("/api/task/apply/x", "/api/task/async-apply/x", "/api/task/send-task/x"),
)


def test_flower_shows_nothing_without_its_password(flower: int) -> None:
    for path in FLOWER_PAGES:
        assert status(flower, "GET", path) == 401, path
        for password in ("", "wrong", PASSWORD):
            found = status(flower, "GET", path, password, user="stranger", source=STRANGER)
            assert found in {401, 429}, path
    for path in OPEN_OF_FLOWER:
        assert status(flower, "GET", path) == 200
    assert status(flower, "GET", "/workers", PASSWORD) == 200


def test_flower_stops_checking_passwords_after_five_wrong_ones(flower: int) -> None:
    source = "127.0.0.3"
    guesses = [status(flower, "GET", "/", f"guess {n}", source=source) for n in range(7)]
    assert guesses == [401] * 5 + [429] * 2
    assert status(flower, "GET", "/", PASSWORD, source=source) == 429


def test_flower_sends_retry_after_and_logs_few_refusals(flower: int, root: Path) -> None:
    source = "127.0.0.4"
    guesses = [answered(flower, "GET", "/", "gu\u00ebss", source=source) for _ in range(5)]
    assert [guess.status for guess in guesses] == [401] * 5
    refused = [answered(flower, "GET", "/", source=source, password="x") for _ in range(99)]
    assert {answer.status for answer in refused} == {429}
    waits = {int(answer.headers["Retry-After"]) for answer in refused}
    assert all(0 < wait_s <= WINDOW.total_seconds() for wait_s in waits)
    lines = (root / "flower.log").read_text().splitlines()
    assert 0 < len([line for line in lines if source in line]) <= PER_MINUTE


def test_flower_takes_no_orders_not_even_with_its_password(flower: int) -> None:
    """A worker that is shut down or a task that is revoked there would leave no record."""
    for path in FLOWER_ORDERS:
        assert status(flower, "POST", path) == 401, path
        assert status(flower, "POST", path, PASSWORD) == 403, path


def test_the_local_stack_listens_on_this_machine_alone(tmp_path: Path) -> None:
    ports = {"web": 8000, "flower": 5555, "sandbox": 8090}
    parts = django_components(logs=tmp_path, ports=ports, flower_password=PASSWORD)
    found = {part.name: part for part in parts}
    assert f"--address={HOST}" in found["flower"].argv
    assert found["sandbox"].argv[found["sandbox"].argv.index("--host") + 1] == HOST
    assert found["web"].env["WEB_BIND"] == f"{HOST}:8000"
    assert HOST == "127.0.0.1"


def addresses(resolver: URLResolver, before: str = "/") -> Iterator[str]:
    """Every address of the site, with a value in place of each parameter."""
    for pattern in resolver.url_patterns:
        if not isinstance(pattern.pattern, RoutePattern):
            continue  # admin's catch-all and its list of one app
        here = before + re.sub(r"<(?:(\w+):)?\w+>", _value, str(pattern.pattern))
        if isinstance(pattern, URLPattern):
            yield here
        else:
            yield from addresses(pattern, here)


def _value(parameter: re.Match[str]) -> str:
    return {"int": "1", "uuid": "00000000-0000-4000-8000-000000000000"}.get(parameter[1], "1")


ADDRESSES = sorted(set(addresses(get_resolver())))


@pytest.mark.django_db
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_stranger_gets_nothing_but_the_open_pages(client: Client, method: str) -> None:
    assert len(ADDRESSES) > 100
    assert set(ADDRESSES) >= OPEN_OF_WEB
    answered = {}
    for address in ADDRESSES:
        answer = client.generic(method, address)
        to_login = answer.status_code == 302 and "/login/" in answer["Location"]
        if not to_login and answer.status_code not in {401, 403, 404, 405}:
            answered[address] = answer.status_code
    assert answered.keys() <= OPEN_OF_WEB, answered
