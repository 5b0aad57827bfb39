"""Streams and long-polls end when their reader loses access."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.core.asgi import get_asgi_application
from django.db import connection
from django.test import Client

from aifeature.api import events, waiting
from aifeature.models import ApiToken
from aifeature.models.transitions import Claimed
from aifeature.services.sign_in import sign_ins
from tests.integration.event_loop import client_of, until
from tests.integration.streams.readers import reader, token_of
from tests.integration.streams.test_events import begin, finish, play, written


def close_account(user: User) -> None:
    User.objects.filter(pk=user.pk).update(is_active=False)


def revoke_tokens(user: User) -> None:
    ApiToken.objects.filter(user=user).revoke()


def change_password(user: User) -> None:
    user.set_password("battery staple 42")
    user.save()


ENDS: dict[str, Callable[[User], object]] = {
    "the account is closed": close_account,
    "the token is revoked": revoke_tokens,
    "the password is changed": change_password,
    "signed out everywhere": sign_ins.end_all,
}


@sync_to_async
def done(act: Callable[[User], object], user: User) -> None:
    act(user)
    connection.close()


@pytest.mark.parametrize("end", ENDS)
def test_a_stream_ends_at_the_next_heartbeat(
    claimed: Claimed, ada: User, token: str, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    monkeypatch.setattr(events, "HEARTBEAT_S", 0.05)

    async def scene() -> None:
        async with reader(token, claimed.job) as stream:
            await stream.until(lambda: len(stream.comments) > 2)
            assert not stream.ended
            await done(ENDS[end], ada)
            await stream.end()
            assert stream.named("result") == []
        async with reader(token, claimed.job) as again:
            await again.end()
            assert again.status == 401

    play(scene())


def test_a_busy_stream_ends_too(
    claimed: Claimed, ada: User, token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "HEARTBEAT_S", 0.3)

    async def scene() -> None:
        take = begin(written(claimed))
        async with reader(token, claimed.job) as stream:
            await stream.until(lambda: stream.status == 200)
            await done(close_account, ada)
            for _ in range(2_000):
                take("more ")
                await asyncio.sleep(0.01)
                if stream.ended:
                    break
            assert stream.ended

    play(scene())


@pytest.mark.parametrize("end", ["the account is closed", "signed out everywhere"])
def test_a_session_ends_a_poll_that_waits(claimed: Claimed, ada: User, end: str) -> None:
    browser = Client()
    browser.force_login(ada)
    cookie = browser.cookies["sessionid"].value
    connection.close()

    async def scene() -> None:
        site = get_asgi_application()
        async with client_of(site, cookies={"sessionid": cookie}) as client:
            address = f"/api/v1/jobs/{claimed.job}"
            assert (await client.get(address)).status_code == 200
            poll = asyncio.create_task(client.get(address, params={"wait": 30}))
            await until(lambda: len(waiting.watch()._listeners) == 1)
            await done(ENDS[end], ada)
            await finish(claimed, "It is so.")  # which ends the wait
            assert (await poll).status_code == 401

    play(scene())


def test_one_token_ends_without_the_others(claimed: Claimed, ada: User, token: str) -> None:
    other = token_of(ada)
    ApiToken.objects.filter(hint=token[:8]).revoke()
    connection.close()

    async def scene() -> None:
        async with reader(other, claimed.job) as stream:
            await stream.until(lambda: stream.status == 200)

    play(scene())
