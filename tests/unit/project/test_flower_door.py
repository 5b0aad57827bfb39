"""Flower's password is guessed no more often than those of the pages."""

from __future__ import annotations

from base64 import b64encode
from types import SimpleNamespace
from typing import Any

import pytest
from flower.views import BaseHandler
from tornado.web import HTTPError

from aifeature.policies.sign_in import OF_ADDRESS, OF_BOTH, OF_NAME, WINDOW
from project.flower import Door, guard
from tests.unit.clock import Clock


class Handler:
    """As much of a handler of Flower as its check needs."""

    checked = 0

    def __init__(self, header: str, address: str) -> None:
        self.request = SimpleNamespace(headers={"Authorization": header}, remote_ip=address)
        self.application = SimpleNamespace(options=SimpleNamespace(basic_auth=["flower:right"]))
        self.headers: dict[str, str] = {}

    def set_header(self, name: str, value: str) -> None:
        self.headers[name] = value

    def get_current_user(self) -> bool:
        type(self).checked += 1
        if self.request.headers["Authorization"] != basic("flower", "right"):
            raise HTTPError(401)
        return True

    def write_error(self, status_code: int, **_: Any) -> None:
        pass


def basic(name: str, password: str) -> str:
    return "Basic " + b64encode(f"{name}:{password}".encode()).decode()


Guarded = tuple[type[Any], Clock]


@pytest.fixture
def guarded() -> Guarded:
    clock = Clock()
    kind = type("Guarded", (Handler,), {"checked": 0, "get_current_user": Handler.get_current_user})
    guard(kind, Door(clock))
    return kind, clock


def ask(kind: type[Any], header: str, address: str = "192.0.2.1") -> int:
    try:
        kind(header, address).get_current_user()
    except HTTPError as error:
        return int(error.status_code)
    return 200


def test_five_failures_close_the_door_for_a_while(guarded: Guarded) -> None:
    kind, clock = guarded
    wrong, right = basic("flower", "guess"), basic("flower", "right")
    assert [ask(kind, wrong) for _ in range(OF_BOTH)] == [401] * OF_BOTH
    assert [ask(kind, right), ask(kind, wrong)] == [429, 429]
    assert kind.checked == OF_BOTH
    assert ask(kind, right, "192.0.2.2") == 200
    clock.now += WINDOW.total_seconds()
    assert ask(kind, right) == 200


@pytest.mark.parametrize("header", ["Basic", "Basic ???", "Basic /w==", "Bearer x y", "x"])
def test_a_header_that_cannot_be_read_is_counted(guarded: Guarded, header: str) -> None:
    kind, _ = guarded
    assert [ask(kind, header) for _ in range(OF_BOTH + 1)] == [401] * OF_BOTH + [429]


@pytest.mark.parametrize(("name", "password"), [("flöwer", "x"), ("flower", "\u2028"), ("\0", "é")])
def test_a_name_or_password_that_is_not_ascii_is_wrong_and_counted(
    name: str, password: str
) -> None:
    checks = {"get_current_user": BaseHandler.get_current_user}
    kind = type("Flowers", (Handler,), checks)
    guard(kind, Door())
    header = basic(name, password)
    assert [ask(kind, header) for _ in range(OF_BOTH + 1)] == [401] * OF_BOTH + [429]


def test_many_names_lock_the_address_and_many_addresses_the_name(guarded: Guarded) -> None:
    kind, _ = guarded
    seen = [ask(kind, basic(f"name{n}", "x")) for n in range(OF_ADDRESS + 1)]
    assert seen == [401] * OF_ADDRESS + [429]
    seen = [ask(kind, basic("flower", "x"), f"198.51.100.{n}") for n in range(OF_NAME + 1)]
    assert seen == [401] * OF_NAME + [429]


def test_a_browser_without_a_password_is_not_counted(guarded: Guarded) -> None:
    kind, _ = guarded
    assert [ask(kind, "") for _ in range(50)] == [401] * 50


def test_success_forgets_failures_and_the_memory_is_bounded(
    guarded: Guarded, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind, _ = guarded
    for _ in range(3):
        assert ask(kind, basic("flower", "x")) == 401
        assert ask(kind, basic("flower", "x")) == 401
        assert ask(kind, basic("flower", "right")) == 200
    monkeypatch.setattr("project.flower.MOST", 10)
    door = Door(lambda: 0.0)
    for n in range(100):
        door.failed(f"n{n}", f"a{n}")
    assert len(door._failures) == 10
