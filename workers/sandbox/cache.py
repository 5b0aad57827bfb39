"""Account for the prompt cache: the longest prefix of a request that is cached."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from workers.sandbox import tokens
from workers.sandbox.catalog import MODELS

LOOKBACK_BLOCKS = 20
"""Blocks before a breakpoint that are searched for an earlier entry."""

TTL_S = {"5m": 300, "1h": 3600}
MAX_ENTRIES = 20_000


@dataclass(frozen=True, slots=True)
class Boundary:
    """The end of one block of the prompt, with the hash and the tokens of the whole prefix."""

    digest: bytes
    tokens: int
    ttl: str | None
    """The time to live of a breakpoint here, or None."""


@dataclass(frozen=True, slots=True)
class PromptUsage:
    """The input tokens of a request by kind of billing."""

    input_tokens: int
    cache_read: int = 0
    cache_write_5m: int = 0
    cache_write_1h: int = 0

    @property
    def total(self) -> int:
        return self.input_tokens + self.cache_read + self.cache_write_5m + self.cache_write_1h


class PromptCache:
    """Entries by prefix hash. A read renews the time to live of an entry."""

    def __init__(self) -> None:
        self._expires: OrderedDict[bytes, tuple[float, str]] = OrderedDict()

    def account(
        self, prompt: list[Boundary], model: str, now: float, *, write: bool
    ) -> PromptUsage:
        """Return the billing of a prompt at `now`. With `write`, its breakpoints become entries."""
        minimum = MODELS[model].cache_minimum
        marked = [i for i, b in enumerate(prompt) if b.ttl and b.tokens >= minimum]
        total = prompt[-1].tokens
        if not marked:
            return PromptUsage(total)
        hit = self._longest_hit(prompt, marked, now)
        read = prompt[hit].tokens if hit is not None else 0
        last = prompt[marked[-1]]
        written = last.tokens - read
        if write:
            self._store(prompt, marked, hit, now)
        hour = last.ttl == "1h"
        return PromptUsage(
            input_tokens=total - read - written,
            cache_read=read,
            cache_write_5m=0 if hour else written,
            cache_write_1h=written if hour else 0,
        )

    def _longest_hit(self, prompt: list[Boundary], marked: list[int], now: float) -> int | None:
        for mark in reversed(marked):
            for index in range(mark, max(-1, mark - LOOKBACK_BLOCKS), -1):
                if self._expires.get(prompt[index].digest, (0.0, ""))[0] > now:
                    return index
        return None

    def _store(
        self, prompt: list[Boundary], marked: list[int], hit: int | None, now: float
    ) -> None:
        if hit is not None:
            ttl = self._expires[prompt[hit].digest][1]
            self._expires[prompt[hit].digest] = (now + TTL_S[ttl], ttl)
        for index in marked:
            if hit is None or index > hit:
                ttl = prompt[index].ttl or "5m"
                self._expires[prompt[index].digest] = (now + TTL_S[ttl], ttl)
        while len(self._expires) > MAX_ENTRIES:
            self._expires.popitem(last=False)


def boundaries(body: Mapping[str, Any]) -> list[Boundary]:
    """Return the blocks of a request in cache order: tools, system, messages."""
    schema = tokens.schema_of(body)
    digest = hashlib.sha256(f"{body['model']}\0{tokens.canonical(schema)}".encode())
    total = tokens.REQUEST_OVERHEAD + tokens.schema_tokens(body)
    found: list[Boundary] = []
    for place, block, overhead in _blocks(body):
        text = tokens.block_text(block)
        digest.update(f"\0{place}\0{len(text)}\0{text}".encode())
        total += overhead + tokens.count(text)
        found.append(Boundary(digest.digest(), total, _ttl(block)))
    if _ttl(body) and found:
        last = found[-1]
        found[-1] = Boundary(last.digest, last.tokens, _ttl(body))
    return found


def _blocks(body: Mapping[str, Any]) -> Iterator[tuple[str, Any, int]]:
    for tool in body.get("tools") or ():
        yield "tool", tool, 0
    for block in tokens.blocks(body.get("system")):
        yield "system", block, 0
    for message in body["messages"]:
        overhead = tokens.MESSAGE_OVERHEAD
        for block in tokens.blocks(message["content"]):
            yield message["role"], block, overhead
            overhead = 0


def _ttl(block: Any) -> str | None:
    control = block.get("cache_control") if isinstance(block, Mapping) else None
    return (control.get("ttl") or "5m") if control else None
