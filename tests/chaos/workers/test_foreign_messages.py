"""Foreign messages end no worker, occupy none of its threads and are not quoted in logs."""

from __future__ import annotations

import base64
import copy
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.chaos.real_processes import LIMIT_S, Processes, broker, text_of, wait_ended, wait_until

pytestmark = pytest.mark.timeout(LIMIT_S)

MARK = "MARKED-CONTENT"

words = st.sampled_from(
    (*("", "x", "\0", "null", "base64", "utf-8", "rot13", "application/x-python-serialize"), MARK)
) | st.text(max_size=8)
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=5,
)
not_json = st.binary(max_size=40) | st.sampled_from(
    (b"[" * 100_000, b'{"__type__": "uuid", "__value__": 5}', b'{"__type__": []}', b"\xff", b"NaN")
)


def _places(value: Any, before: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the paths of all parts of a JSON value."""
    found = [before] if before else []
    if isinstance(value, dict):
        found += [path for key in value for path in _places(value[key], (*before, key))]
    return found


@st.composite
def changed(draw: st.DrawFn, message: dict[str, Any]) -> bytes:
    """Return a real message with some parts replaced or missing, or with another body."""
    made = copy.deepcopy(message)
    for path in draw(st.lists(st.sampled_from(_places(message)), min_size=1, max_size=2)):
        inner: Any = made
        for key in path[:-1]:
            inner = inner.get(key) if isinstance(inner, dict) else None
        if isinstance(inner, dict) and draw(st.booleans()):
            inner[path[-1]] = draw(anything)
        elif isinstance(inner, dict):
            inner.pop(path[-1], None)
    if draw(st.booleans()):
        made["body"] = base64.b64encode(json.dumps(draw(anything)).encode()).decode()
    return json.dumps(made).encode()


def test_foreign_messages_are_dropped_and_jobs_continue(processes: Processes) -> None:
    with broker() as client:
        processes.queue(1)
        ours = json.loads(client.lrange("llm", 0, 0)[0])
        for count, tag in enumerate((b"no json", b"[1]", b'["x", "", "llm"]')):
            client.hset("unacked", f"tag{count}", tag)
            client.zadd("unacked_index", {f"tag{count}": 0})

        worker = processes.llm("worker", threads=2)  # a start restores unacknowledged messages

        @settings(
            max_examples=400, deadline=None, suppress_health_check=list(HealthCheck), database=None
        )
        @given(raw=not_json | anything.map(json.dumps).map(str.encode) | changed(ours))
        @example(raw=b"{")  # the log must name these two, which chance might leave out
        @example(raw=json.dumps({**ours, "headers": {**ours["headers"], "task": "x"}}).encode())
        def send(raw: bytes) -> None:
            client.lpush("llm", raw)
            for channel in ("/0.celery.pidbox", "/0.celeryev/worker.heartbeat"):
                client.publish(channel, raw.replace(MARK.encode(), b"x"))

        send()
        wait_ended(processes.queue(6))
        wait_until(lambda: not client.llen("llm"), "all messages to be taken")
        wait_until(lambda: not client.hlen("unacked"), "all messages to be settled")
    assert worker.process.poll() is None
    log = text_of(worker.log)
    assert "it is not JSON (JSONDecodeError)" in log
    assert "dropped a message of queue llm: no task has its name" in log
    assert "Unrecoverable error" not in log
    assert MARK not in log
    assert max(map(len, log.splitlines())) <= 2_100
