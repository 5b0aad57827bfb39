"""The provider's limits per model, learned from the headers of its answers.

Each model has three buckets: requests, input tokens and output tokens, refilled over a minute like
the provider's. An unknown limit admits everything. The first headers set a bucket's level. After
that our own accounting decides, because it includes the calls in flight. Each call reserves its
bound and gives back the unused part at its end. Headers only lower our level: if other clients use
the same key, our level stays above the provider's. A limit lowered by one answer applies for 20
seconds, longer if a second answer confirms it. `lua/admit.lua` and `lua/settle.lua` have the steps.
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
"""Names in the headers. The provider's `tokens` is the sum of the last two."""

_COUNT: Final = re.compile(r"-?[0-9]{1,12}")

MILLION: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class LimitHeader:
    """One limit, as reported in the headers."""

    limit: int
    """Per minute."""

    remaining: int


def read_headers(
    headers: Mapping[str, str],
) -> tuple[LimitHeader | None, LimitHeader | None, LimitHeader | None]:
    """Return the limits of requests, input tokens and output tokens from an answer's headers."""
    requests, inputs, outputs = (_read_header(headers, name) for name in NAMES)
    return requests, inputs, outputs


def _read_header(headers: Mapping[str, str], name: str) -> LimitHeader | None:
    limit = _count(headers.get(f"anthropic-ratelimit-{name}-limit"))
    remaining = _count(headers.get(f"anthropic-ratelimit-{name}-remaining"))
    if limit is None or remaining is None or limit <= 0:
        return None
    return LimitHeader(limit, max(remaining, 0))


def _count(value: str | None) -> int | None:
    """Return a count from a header. None if it is invalid or too large for a limit."""
    return int(value) if value and _COUNT.fullmatch(value.strip()) else None


def plausible(
    told: tuple[LimitHeader | None, ...], reserved: Amounts, used: Amounts, *, measured: bool
) -> tuple[LimitHeader | None, ...]:
    """Return the reported limits without those that are smaller than the call itself.

    A measured call, whose `used` the provider counted, must fit into each limit. Otherwise only a
    least size of the prompt is known: its bound is about its bytes, and each token has at most 16
    bytes (`tokens.MOST_BYTES_PER_TOKEN`). Its output may be empty.
    """
    least = _row(used) if measured else (0, reserved.input_tokens // MOST_BYTES_PER_TOKEN, 0)
    return tuple(
        None if header is not None and header.limit < amount else header
        for header, amount in zip(told, least, strict=True)
    )


def _row(amounts: Amounts) -> tuple[int, int, int]:
    return amounts.requests, amounts.input_tokens, amounts.output_tokens


@dataclass(frozen=True, slots=True)
class Amounts:
    """The amounts of one call by limit: its bound before the call, its use after it."""

    requests: int
    input_tokens: int
    """Without cache reads, which no limit counts."""

    output_tokens: int

    @property
    def tokens(self) -> int:
        """Tokens taken from the user's bucket."""
        return self.input_tokens + self.output_tokens


NOTHING: Final = Amounts(0, 0, 0)


def used_by(usage: TokenUsage) -> Amounts:
    """Return the amounts of a usage."""
    return Amounts(1, usage.input_tokens + usage.cache_write_tokens, usage.output_tokens)


def given_back(cost: int, reserved: int, used: int) -> int:
    """Return the unused part of a reservation's cost. Negative if more was used."""
    return cost - -(-cost * used // reserved) if reserved else 0


def share(reserved: int, used: int) -> int:
    """Return the used part of a reservation, in millionths."""
    return used * MILLION // reserved if reserved else MILLION


@dataclass(frozen=True, slots=True)
class LimitView:
    """One limit for display."""

    name: str
    per_minute: int
    remaining: int
    """The remaining amount by our accounting; 0 if overdrawn."""

    booked_s: float
    """Seconds until the last booked retry."""


@dataclass(frozen=True, slots=True)
class LimitsView:
    """The known limits of one model."""

    model: str
    limits: tuple[LimitView, ...]
    blocked_s: float
    """Remaining seconds of the provider's retry-after."""


def view(model: str, fields: Mapping[str, str], *, now: int) -> LimitsView:
    """Return the limits from their Redis hash. `now` is in microseconds."""
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
