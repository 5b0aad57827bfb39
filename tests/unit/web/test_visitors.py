"""Limits per visitor: the key that identifies one, and the rate of one."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from aifeature.api import visitors
from aifeature.api.visitors import (
    ADDRESS_FACTOR,
    BURST_S,
    LONGEST_DELAY_S,
    MOST_DELAYED,
    Kind,
    Visitor,
    Visitors,
)
from aifeature.policies.networks import network
from aifeature.policies.rates import RateLimitStatus
from aifeature.services.jobs.refusals import RateLimited
from tests.unit.clock import Clock

HOME = "192.0.2.1"


@pytest.fixture
def site(clock: Clock) -> Visitors:
    return Visitors(per_second=2, under_way=3, clock=clock)


def allowed(site: Visitors, credential: bytes = b"", address: str = HOME) -> int:
    """Return the number of requests that are served in this moment."""
    served = 0
    while served < 10_000:
        try:
            with site.request(credential, address):
                served += 1
        except RateLimited:
            break
    return served


def test_a_user_may_burst_and_then_has_a_rate(site: Visitors, clock: Clock) -> None:
    site.remember(b"token", 1)
    assert allowed(site, b"token") == 2 * BURST_S
    with pytest.raises(RateLimited) as refused, site.request(b"token", HOME):
        pass
    assert refused.value.left == RateLimitStatus(10, window_s=5, remaining=0, reset_s=5)
    clock.now += 3
    assert allowed(site, b"token") == 6
    clock.now += 1_000
    assert allowed(site, b"token") == 2 * BURST_S


def test_users_do_not_share_a_rate_though_their_address_is_the_same(site: Visitors) -> None:
    site.remember(b"one", 1)
    site.remember(b"two", 2)
    allowed(site, b"one")
    assert allowed(site, b"two") == 2 * BURST_S


def test_all_credentials_of_one_user_share_a_rate(site: Visitors) -> None:
    site.remember(b"token", 1)
    site.remember(b"session", 1)
    allowed(site, b"token")
    assert allowed(site, b"session") == 0


def test_made_up_credentials_share_the_rate_of_their_address(site: Visitors) -> None:
    served = 0
    for n in range(1_000):
        served += allowed(site, f"made up {n}".encode())
    assert served == 2 * BURST_S * ADDRESS_FACTOR
    assert allowed(site, address="192.0.2.2") == 2 * BURST_S * ADDRESS_FACTOR


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("", "unknown", False),
    ],
)
def test_an_ipv6_network_is_one_address(one: str, other: str, *, same: bool) -> None:
    assert (network(one) == network(other)) is same


def test_so_many_are_under_way_and_no_more(site: Visitors) -> None:
    site.remember(b"token", 1)
    with ExitStack() as open_requests:
        for _ in range(3):
            open_requests.enter_context(site.request(b"token", HOME))
        with pytest.raises(RateLimited) as refused:
            open_requests.enter_context(site.request(b"token", HOME))
        assert refused.value.retry_after_s
    assert site.open_requests(Visitor(Kind.USER, "1")) == 0
    with site.request(b"token", HOME):
        pass


def test_a_request_counts_for_its_user_as_soon_as_that_is_known(site: Visitors) -> None:
    """Otherwise each request of a first burst would pass as a new visitor."""
    address, user = Visitor(Kind.ADDRESS, HOME), Visitor(Kind.USER, "1")
    with ExitStack() as open_requests:
        for _ in range(3):
            open_requests.enter_context(site.request(b"", HOME))
            visitors.recognise(1)
            visitors.recognise(1)
        assert (site.open_requests(address), site.open_requests(user)) == (0, 3)
        open_requests.enter_context(site.request(b"", HOME))
        with pytest.raises(RateLimited):
            visitors.recognise(1)
        assert (site.open_requests(address), site.open_requests(user)) == (1, 3)
    assert (site.open_requests(address), site.open_requests(user)) == (0, 0)


def test_a_credential_is_known_from_the_request_that_was_accepted_with_it(site: Visitors) -> None:
    with site.request(b"token", HOME) as visit:
        visitors.recognise(7)
        assert visit.visitor == Visitor(Kind.USER, "7")
    assert site.of(b"token", "192.0.2.99") == Visitor(Kind.USER, "7")
    assert site.of(b"other", HOME).kind is Kind.ADDRESS
    assert site.of(b"", HOME).kind is Kind.ADDRESS


def test_requests_with_ever_new_credentials_count_for_the_user_they_turn_out_to_be(
    site: Visitors,
) -> None:
    """One session can be written as a cookie in many ways."""
    served = 0
    for n in range(100):
        with site.request(f"spelling {n}".encode(), f"192.0.2.{n}"):
            try:
                visitors.recognise(1)
                served += 1
            except RateLimited:
                pass
    assert served == 2 * BURST_S


def test_a_credential_that_is_nobodys_any_more_counts_for_its_address(site: Visitors) -> None:
    site.remember(b"token", 1)
    with site.request(b"token", HOME):
        visitors.forget()
    assert site.of(b"token", HOME).kind is Kind.ADDRESS


def test_a_low_rate_still_serves(clock: Clock) -> None:
    site = Visitors(per_second=0.1, under_way=3, clock=clock)
    site.remember(b"token", 1)
    assert allowed(site, b"token") == 1
    clock.now += 10
    assert allowed(site, b"token") == 1


def test_memory_is_bounded(site: Visitors, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(visitors, "REMEMBERED", 10)
    for n in range(100):
        site.remember(str(n).encode(), n)
        allowed(site, address=f"192.0.2.{n}")
    assert site.of(b"99", HOME).kind is Kind.USER
    assert site.of(b"0", HOME).kind is Kind.ADDRESS
    assert len(site._users) <= 10
    assert len(site._buckets) <= 10


def test_the_more_refusals_wait_the_longer_each_does(site: Visitors) -> None:
    visitor = Visitor(Kind.USER, "1")
    with ExitStack() as waiting:
        delays = [waiting.enter_context(site.refused(visitor)) or 0.0 for _ in range(MOST_DELAYED)]
        assert waiting.enter_context(site.refused(visitor)) is None, "memory is bounded"
        with site.refused(Visitor(Kind.USER, "2")) as delay_s:
            assert delay_s == delays[0]
    assert delays[199] == 11
    assert delays == sorted(delays)
    assert (delays[0], delays[-1]) == (1.05, LONGEST_DELAY_S)
    with site.refused(visitor) as delay_s:
        assert delay_s == delays[0]


def test_without_a_rate_only_what_is_under_way_is_limited(clock: Clock) -> None:
    site = Visitors(per_second=0, under_way=3, clock=clock)
    assert allowed(site) == 10_000


def test_a_flood_of_refusals_is_one_line_a_minute(
    site: Visitors, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    def told() -> list[str]:
        return [each.message for each in caplog.records if each.name == visitors.__name__]

    allowed(site)
    for _ in range(50):
        allowed(site)
    line = f"requests of address {HOME} are refused: more than 10 a second in this process"
    assert told() == [line]
    clock.now += 60
    allowed(site)
    allowed(site)
    assert told() == [line] * 2
