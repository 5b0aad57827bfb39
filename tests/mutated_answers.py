"""Strategies for answers of a provider: statuses, headers and bodies, right and wrong."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st

from tests import wire
from tests.broken_answers import UNASKED, USAGE, good, whole

CANARY = "a canary"
"""Text that no error may quote. It is no plain name, as a stop reason is."""

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(st.characters(), max_size=8)
    | st.sampled_from(["text_delta", "text", "end_turn", "tool_use", "error", "message", CANARY]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["type", "usage", "delta", "text", "message", "input_tokens", "x"]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=6,
)


def _paths(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield at
    items = value.items() if isinstance(value, dict) else ()
    if isinstance(value, list):
        items = enumerate(value)  # type: ignore[assignment]
    for key, part in items:
        yield from _paths(part, (*at, key))


def _replaced(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = _replaced(value[path[0]], path[1:], new)
    return copy


@st.composite
def mutated(draw: st.DrawFn, value: Any) -> Any:
    """The same JSON value with up to two parts replaced by others."""
    for _ in range(draw(st.integers(1, 2))):
        path = draw(st.sampled_from(list(_paths(value))))
        value = _replaced(value, path, draw(json_values))
    return value


usages = st.lists(st.sampled_from(list(UNASKED.values())), max_size=3).map(
    lambda some: {key: value for part in (USAGE, *some) for key, value in part.items()}
)


@st.composite
def streams(draw: st.DrawFn) -> bytes:
    """The events of an answer: some missing, repeated, out of order, or with other data."""
    events = good(usage=draw(usages), start=draw(usages))
    chosen = draw(st.lists(st.sampled_from(events), min_size=1, max_size=9) | st.just(events))
    sent = []
    for name, data in chosen:
        odd = draw(st.integers(0, 3)) == 0
        kind = draw(st.sampled_from(["", "error", name, "message_stop"])) if odd else name
        sent.append((kind, draw(mutated(data)) if odd else data))
    return b"".join(
        (f"event: {kind}\n" if kind else "").encode() + f"data: {json.dumps(data)}\n\n".encode()
        for kind, data in sent
    )


header_names = st.sampled_from(
    [
        *("retry-after", "retry-after-ms", "x-should-retry", "request-id", "date", "content-type"),
        *("content-encoding", "anthropic-ratelimit-input-tokens-limit", "x-other"),
        *("anthropic-ratelimit-input-tokens-remaining", "anthropic-ratelimit-requests-limit"),
    ]
)
headers = st.dictionaries(
    header_names,
    st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=30),
    max_size=4,
)
bodies = (
    streams()
    | usages.flatmap(lambda usage: mutated(whole(usage=usage))).map(
        lambda body: json.dumps(body).encode()
    )
    | st.binary(max_size=200)
    | st.binary(max_size=50).map(lambda tail: wire.sse(*good()[:3]) + tail)
)
statuses = st.sampled_from([200] * 6 + [201, 204, 302, 400, 401, 404, 408, 409, 429, 500, 503, 529])
