"""The visitor that a request counts for, as the real site sees it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.db.models.functions import Now
from django.test import Client

from aifeature.api.visitors import Kind, Visitor
from aifeature.models import ApiToken
from deploy.web_worker import WebWorker
from project import request_body
from project.concurrency import Concurrency, credential_of
from tests.integration.api.test_concurrency import (
    Refusals,
    client_of,
    refusals,
    request,
    run,
    site,
    status_of,
)
from tests.integration.event_loop import BOUND_S, until

__all__ = ["refusals", "site"]

pytestmark = pytest.mark.usefixtures("committed", "opened")

PASSWORD = "correct horse"
HOME = "192.0.2.7"


@pytest.fixture
def anna(committed: None) -> User:
    user: User = User.objects.create_user("anna", password=PASSWORD)
    return user


def session_of(client: Client) -> str:
    return client.cookies["sessionid"].value


def known(site: Concurrency, **headers: str) -> Visitor:
    """The visitor that a page requested with these headers counts for."""
    scope = scope_of("/", **headers)
    return site._visitors.of(credential_of(scope), HOME)


def scope_of(path: str, **headers: str) -> dict[str, Any]:
    given = [(name.encode(), value.encode()) for name, value in headers.items()]
    return {"type": "http", "path": path, "headers": given}


def test_a_session_is_known_from_its_first_page_to_its_end(site: Concurrency, anna: User) -> None:
    browser = Client()
    browser.force_login(anna)
    session = session_of(browser)
    visitor = client_of(site)
    visitor.cookies.set("sessionid", session)

    async def scene() -> None:
        async with visitor:
            assert known(site, cookie=f"sessionid={session}").kind is Kind.ADDRESS
            assert (await visitor.get("http://testserver/")).status_code == 200
            assert known(site, cookie=f"sessionid={session}") == Visitor(Kind.USER, str(anna.pk))
            await asyncio.to_thread(log_out, browser)
            await visitor.get("http://testserver/")
            assert known(site, cookie=f"sessionid={session}").kind is Kind.ADDRESS

    run(scene)


def log_out(browser: Client) -> None:
    browser.logout()
    connection.close()


def test_a_revoked_token_counts_for_its_address(site: Concurrency, anna: User) -> None:
    """Otherwise a thief could use up the limits of its owner."""
    row, text = ApiToken.issue(user_id=anna.pk, name="lost")
    token = f"Bearer {text}"
    visitor = client_of(site)
    visitor.headers["authorization"] = token

    async def scene() -> None:
        async with visitor:
            assert (await visitor.get("/features")).status_code == 200
            assert site._visitors.of(token.encode(), HOME).kind is Kind.USER
            await asyncio.to_thread(revoke, row.pk)
            assert (await visitor.get("/features")).status_code == 401
            assert site._visitors.of(token.encode(), HOME).kind is Kind.ADDRESS

    run(scene)


def revoke(pk: int) -> None:
    ApiToken.objects.filter(pk=pk).update(revoked_at=Now())
    connection.close()


@pytest.mark.parametrize(
    ("path", "headers", "shown"),
    [
        ("/api/v1/jobs", {"authorization": "Bearer x", "cookie": "sessionid=s"}, b"Bearer x"),
        ("/", {"authorization": "Basic shared", "cookie": "sessionid=s"}, b"session s"),
        ("/", {"cookie": "a=b; sessionid=first; sessionid=s"}, b"session s"),
        ("/", {"cookie": 'sessionid="\\163"'}, b"session s"),
        ("/", {"cookie": "notsessionid=s"}, b""),
        ("/", {}, b""),
    ],
)
def test_the_credential_is_that_of_django(path: str, headers: dict[str, str], shown: bytes) -> None:
    assert credential_of(scope_of(path, **headers)) == shown


def test_a_flood_of_their_address_refuses_no_staff(site: Concurrency, admin_user: User) -> None:
    browser = Client()
    browser.post("/admin/login/", {"username": "admin", "password": "password"})
    cookie = browser.cookies["staff_browser"].value
    scope = {**scope_of("/admin/", cookie=f"staff_browser={cookie}"), "client": (HOME, 5)}
    forged = {**scope_of("/admin/", cookie="staff_browser=yes:made:up"), "client": (HOME, 5)}
    for each in (scope, forged):
        each.update({"method": "GET", "query_string": b""})
    assert site._address_key(scope).startswith("staff browser ")
    assert site._address_key(forged) == HOME


@pytest.mark.parametrize("path", ["/healthz", "/admin/login/"])
def test_one_address_has_a_few_probes_and_flips_at_a_time(site: Concurrency, path: str) -> None:
    query = b"next=/admin/aifeature/featurecontrol/summarize/stop/"

    async def scene() -> None:
        headers = {"content-length": "5"}
        async with asyncio.TaskGroup() as group, asyncio.timeout(BOUND_S):
            done = asyncio.Event()
            statuses: list[int] = []

            async def one(host: str) -> None:
                sent = request(
                    site, headers=headers, parts=[b"x"], path=path, query=query, host=host
                )
                async with sent as answered:
                    await done.wait()
                    statuses.extend([status_of(answered)] if answered else [])

            for _ in range(30):
                group.create_task(one(HOME))
            await until(
                lambda: site._spare_visitors.open_requests(Visitor(Kind.ADDRESS, HOME)) == 20
            )
            other = Visitor(Kind.ADDRESS, "192.0.2.8")
            group.create_task(one("192.0.2.8"))
            await until(lambda: site._spare_visitors.open_requests(other) == 1)
            done.set()
        assert statuses.count(429) == 10

    run(scene)


def test_endless_bodies_count_for_their_visitor(site: Concurrency, refusals: Refusals) -> None:
    site._most_bytes = 1_000
    chunk = b"x" * 900
    headers = {"transfer-encoding": "chunked"}

    async def scene() -> None:
        address = Visitor(Kind.ADDRESS, HOME)
        async with asyncio.TaskGroup() as group:
            done = asyncio.Event()
            statuses: list[int] = []

            async def one() -> None:
                async with request(site, headers=headers, parts=[chunk]) as answered:
                    await done.wait()
                    statuses.extend([status_of(answered)] if answered else [])

            for _ in range(request_body.MOST_UNREAD + 4):
                group.create_task(one())
            await until(lambda: site._unread[address] == request_body.MOST_UNREAD * 900)
            done.set()
        assert statuses.count(429) == 4
        assert not site._unread

    run(scene)


@pytest.mark.parametrize(("method", "offered"), [("GET", True), ("POST", False)])
def test_a_refused_page_offers_to_try_again(
    site: Concurrency, refusals: Refusals, method: str, *, offered: bool
) -> None:
    visitor = client_of(site)
    site._visitors._under_way = 0

    async def scene() -> None:
        async with visitor:
            asking = asyncio.create_task(visitor.request(method, "http://testserver/"))
            await until(lambda: refusals.waiting == 1)
            refusals.answer()
            answer = await asking
        assert answer.status_code == 429
        assert answer.headers["x-frame-options"] == "DENY"
        assert ("Try again</a>" in answer.text) is offered

    run(scene)


@pytest.mark.parametrize("path", ["/api/v1/features", "/", "/admin/login/", "/nothing/"])
def test_too_many_parameters_are_a_bad_request(site: Concurrency, path: str) -> None:
    visitor = client_of(site)
    query = "&".join(f"p{n}=" for n in range(1_100))

    async def scene() -> None:
        async with visitor:
            answer = await visitor.get(f"http://testserver{path}?{query}")
            assert answer.status_code < 500

    run(scene)


def test_requests_on_one_connection_inherit_nothing_from_each_other() -> None:
    assert WebWorker.CONFIG_KWARGS["reset_contextvars"] is True
