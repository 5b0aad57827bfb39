"""The provider's limits per model, learned from the headers of its answers.

Three buckets for each model: requests, input tokens and output tokens, refilled over a minute as
the provider's are. An unknown limit lets everything pass. The first headers set a bucket's level;
from then on our own accounting leads, since it knows of the calls that are under way. Each call
reserves its bound and gives back at its end what it did not use. Headers correct the accounting
downward alone: what others take with the same key shows as a surplus of ours that stays. A limit
that one answer lowers holds for twenty seconds, unless a second answer confirms it. The steps
themselves are in `lua/admit.lua` and `lua/settle.lua`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from workers.inference.token_bucket import MINUTE, SECOND
from workers.inference.tokens import MOST_BYTES_PER_TOKEN
from workers.inference.types import TokenUsage

NAMES: Final = ("requests", "input-tokens", "output-tokens")
"""As in the headers. The provider's `tokens` is the sum of the latter two."""

_COUNT: Final = re.compile(r"-?[0-9]{1,12}")

MILLION: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class LimitHeader:
    """What a header said of one limit."""

    limit: int
    """Per minute."""

    remaining: int


def read_headers(
    headers: Mapping[str, str],
) -> tuple[LimitHeader | None, LimitHeader | None, LimitHeader | None]:
    """What the headers of an answer say of requests, input tokens and output tokens."""
    requests, inward, outward = (_told(headers, name) for name in NAMES)
    return requests, inward, outward


def _told(headers: Mapping[str, str], name: str) -> LimitHeader | None:
    limit = _count(headers.get(f"anthropic-ratelimit-{name}-limit"))
    remaining = _count(headers.get(f"anthropic-ratelimit-{name}-remaining"))
    if limit is None or remaining is None or limit <= 0:
        return None
    return LimitHeader(limit, max(remaining, 0))


def _count(value: str | None) -> int | None:
    """A number as the provider writes it; None for all else, and for what no limit can be."""
    return int(value) if value and _COUNT.fullmatch(value.strip()) else None


def believed(
    told: tuple[LimitHeader | None, ...], reserved: Amounts, used: Amounts, *, measured: bool
) -> tuple[LimitHeader | None, ...]:
    """What was said of the limits, without those that the call itself proves wrong.

    A call that was measured fits in each of them with what it took. Of any other only the prompt is
    known. Its bound is about its bytes, and a text has a token for each sixteen of them or more
    (`tokens.MOST_BYTES_PER_TOKEN`). What such a call wrote may be nothing, whatever was reserved.

    Args:
        told: What the headers of its answer say.
        reserved: Its bound.
        used: What it took.
        measured: Whether `used` is what the provider counted.
    """
    least = _row(used) if measured else (0, reserved.input_tokens // MOST_BYTES_PER_TOKEN, 0)
    return tuple(
        None if news is not None and news.limit < amount else news
        for news, amount in zip(told, least, strict=True)
    )


def _row(amounts: Amounts) -> tuple[int, int, int]:
    return amounts.requests, amounts.input_tokens, amounts.output_tokens


@dataclass(frozen=True, slots=True)
class Amounts:
    """What one call takes of each limit: its bound before it, its use after it."""

    requests: int
    input_tokens: int
    """Without what was read from the cache, which counts for no limit."""

    output_tokens: int

    @property
    def tokens(self) -> int:
        """What it takes of its user's tokens."""
        return self.input_tokens + self.output_tokens


NOTHING: Final = Amounts(0, 0, 0)


def used_by(usage: TokenUsage) -> Amounts:
    """What a call of this usage took."""
    return Amounts(1, usage.input_tokens + usage.cache_write_tokens, usage.output_tokens)


def given_back(cost: int, reserved: int, used: int) -> int:
    """The part of a reservation's cost that was not used; below zero if more was."""
    return cost - -(-cost * used // reserved) if reserved else 0


def share(reserved: int, used: int) -> int:
    """The part of a reservation that was used, in millionths."""
    return used * MILLION // reserved if reserved else MILLION


@dataclass(frozen=True, slots=True)
class LimitView:
    """One limit for those who watch it."""

    name: str
    per_minute: int
    remaining: int
    """What our accounting has left; 0 also where it is overdrawn."""

    booked_s: float
    """Seconds until the last of those turn up that were told to wait."""


@dataclass(frozen=True, slots=True)
class LimitsView:
    """The provider's limits of one model as far as they are known."""

    model: str
    limits: tuple[LimitView, ...]
    """Empty while nothing has been learned."""

    blocked_s: float
    """Seconds for which the provider asked us to stay away."""


def view(model: str, fields: Mapping[str, str], *, now: int) -> LimitsView:
    """The limits from their hash at a moment in microseconds."""
    found = []
    for number, name in enumerate(NAMES, 1):
        doubted = int(fields.get(f"doubt{number}", now + 1)) <= now
        limit = int(fields.get(f"{'was' if doubted else 'limit'}{number}", 0))
        if limit:
            debt = max(int(fields.get(f"tat{number}", 0)) - now, 0)
            booked = max(int(fields.get(f"at{number}", 0)) - now, 0) / SECOND
            left = max(MINUTE - debt, 0) * limit // MINUTE
            found.append(LimitView(name.replace("-", " "), limit, left, booked))
    blocked = max(int(fields.get("block", 0)) - now, 0) / SECOND
    return LimitsView(model, tuple(found), blocked)
