"""A call holds its socket until it ends, and its abort breaks no other call."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from typing import Any

import httpcore2
import pytest

from workers.inference import sockets
from workers.inference.sockets import Call, CallBackend, CallStream, CurrentCall

Pair = tuple[socket.socket, socket.socket]
"""Our end of a connection, and the other one."""


@pytest.fixture
def pair() -> Iterator[Pair]:
    ours, theirs = socket.socketpair()
    theirs.settimeout(20)
    yield ours, theirs
    ours.close()
    theirs.close()


@pytest.fixture
def current() -> CurrentCall:
    return CurrentCall()


def test_an_abort_breaks_the_held_socket(pair: Pair) -> None:
    ours, theirs = pair
    call = Call()
    call.hold(ours)
    call.abort()
    assert theirs.recv(1) == b""


def test_an_abort_after_the_release_breaks_nothing(pair: Pair) -> None:
    ours, theirs = pair
    call = Call()
    call.hold(ours)
    call.release()
    call.abort()
    ours.sendall(b"x")
    assert theirs.recv(1) == b"x"


def test_an_aborted_call_gets_no_further(pair: Pair, current: CurrentCall) -> None:
    ours, theirs = pair
    stream = CallStream(ours, current)
    current.call.abort()
    with pytest.raises(httpcore2.WriteError):
        stream.write(b"secret")
    with pytest.raises(httpcore2.ReadError):
        stream.read(10)
    assert not current.call.sent
    theirs.setblocking(False)
    with pytest.raises(BlockingIOError):
        theirs.recv(10)


def test_the_next_call_takes_the_connection_over(pair: Pair, current: CurrentCall) -> None:
    ours, theirs = pair
    stream = CallStream(ours, current)
    first, second = current.call, Call()
    stream.write(b"1")
    first.release()
    current.call = second
    stream.write(b"2")
    first.abort()
    stream.write(b"3")
    assert theirs.recv(10) == b"123"
    assert second.sent
    second.abort()
    assert theirs.recv(1) == b""


def test_a_closed_stream_is_no_longer_held(pair: Pair, current: CurrentCall) -> None:
    stream = CallStream(pair[0], current)
    stream.write(b"1")
    stream.close()
    assert current.call._socket is None
    current.call.abort()


def test_a_wait_is_cut_at_the_deadline(pair: Pair, current: CurrentCall) -> None:
    call = current.call = Call(limit_s=0.05)
    stream = CallStream(pair[0], current)
    with pytest.raises(httpcore2.ReadTimeout):
        stream.read(1, timeout=30)
    assert call.deadline_reached
    with pytest.raises(httpcore2.WriteTimeout):
        stream.write(b"late")


def test_an_idle_limit_is_no_deadline(pair: Pair, current: CurrentCall) -> None:
    stream = CallStream(pair[0], current)
    with pytest.raises(httpcore2.ReadTimeout):
        stream.read(1, timeout=0.01)
    assert not current.call.deadline_reached


def test_nothing_is_written_to_an_idle_connection_that_has_ended(
    pair: Pair, current: CurrentCall
) -> None:
    ours, theirs = pair
    stream = CallStream(ours, current)
    for _ in range(2):
        stream.write(b"question")
        theirs.sendall(b"answer")
        assert stream.read(10) == b"answer"
    theirs.shutdown(socket.SHUT_WR)
    current.call = Call()
    with pytest.raises(httpcore2.ConnectionNotAvailable):
        stream.write(b"question")
    assert not current.call.sent
    assert current.call._socket is None
    assert theirs.recv(100) == b"question" * 2


def test_an_answer_that_comes_early_does_not_stop_the_rest_of_a_request(
    pair: Pair, current: CurrentCall
) -> None:
    stream = CallStream(pair[0], current)
    stream.write(b"head")
    pair[1].sendall(b"too large")
    stream.write(b"body")
    assert stream.read(10) == b"too large"


def test_an_idle_connection_shows_only_that_it_is_closed(pair: Pair, current: CurrentCall) -> None:
    stream = CallStream(pair[0], current)
    pair[1].shutdown(socket.SHUT_RDWR)
    assert stream.get_extra_info("is_readable") is False
    stream.close()
    assert stream.get_extra_info("is_readable") is True


def test_an_abort_ends_a_connection_attempt(
    current: CurrentCall, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits, poll = threading.Event(), sockets._poll

    def note(*args: Any) -> bool:
        waits.set()  # this was its last check for an abort
        return poll(*args)

    monkeypatch.setattr(sockets, "_poll", note)
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener, contextlib.ExitStack() as s:
        for _ in range(4):
            filler = s.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        failed: list[BaseException] = []
        port = listener.getsockname()[1]
        call = Call()

        def connect() -> None:
            current.call = call
            try:
                CallBackend(current).connect_tcp("127.0.0.1", port, timeout=600)
            except httpcore2.ConnectError as error:
                failed.append(error)

        thread = threading.Thread(target=connect, daemon=True)
        thread.start()
        assert waits.wait(20)
        call.abort()
        thread.join(20)
        assert len(failed) == 1
