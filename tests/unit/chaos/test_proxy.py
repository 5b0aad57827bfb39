from __future__ import annotations

import contextlib
import gc
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.chaos.proxy import HOST, Mode, Proxy, Target

BOUND_S = 20.0
"""Far above what is needed."""
QUIET_S = 0.3
"""The time without a byte after which a peer counts as silent."""

linux = pytest.mark.skipif(sys.platform != "linux", reason="packets can be dropped on Linux only")


class Echo:
    """Sends everything back, and counts how its connections ended."""

    def __init__(self, listener: socket.socket) -> None:
        self.listener = listener
        self.resets = 0
        self.ends = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self.listener.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            try:
                while data := connection.recv(65536):
                    connection.sendall(data)
            except OSError:
                self.resets += 1
            else:
                self.ends += 1


@pytest.fixture(params=["tcp", "unix"])
def echo(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Echo, Target]]:
    target: Target
    if request.param == "unix":
        listener = socket.socket(socket.AF_UNIX)
        target = tmp_path / "echo"
        listener.bind(str(target))
        listener.listen()
    else:
        listener = socket.create_server((HOST, 0))
        target = listener.getsockname()[:2]
    with listener:
        yield Echo(listener), target
        # Closing alone would leave a thread in accept().
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def proxy(echo: tuple[Echo, Target]) -> Iterator[Proxy]:
    with Proxy(target=echo[1]) as running:
        yield running


def connected(proxy: Proxy, *, timeout_s: float = BOUND_S) -> socket.socket:
    return socket.create_connection((HOST, proxy.port), timeout=timeout_s)


def echoed(connection: socket.socket, word: bytes) -> bytes:
    connection.sendall(word)
    return received(connection, len(word))


def received(connection: socket.socket, size: int) -> bytes:
    connection.settimeout(BOUND_S)
    data = b""
    while len(data) < size and (more := connection.recv(65536)):
        data += more
    return data


def is_silent(connection: socket.socket) -> bool:
    connection.settimeout(QUIET_S)
    try:
        connection.recv(1)
    except TimeoutError:
        return True
    return False


def until(met: Callable[[], bool]) -> None:
    end = time.monotonic() + BOUND_S
    while not met():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_everything_is_passed_on_in_both_directions(proxy: Proxy) -> None:
    big = bytes(range(256)) * 20_000
    with connected(proxy) as connection:
        sender = threading.Thread(target=connection.sendall, args=(big,))
        sender.start()
        assert received(connection, len(big)) == big
        sender.join()


def test_a_clean_end_arrives_as_a_clean_end(proxy: Proxy, echo: tuple[Echo, Target]) -> None:
    with connected(proxy) as connection:
        assert echoed(connection, b"hello") == b"hello"
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(1) == b""
    until(lambda: echo[0].ends == 1)
    until(lambda: proxy.open == 0)
    assert echo[0].resets == 0


def test_a_refusing_proxy_resets_new_connections_and_leaves_the_others(proxy: Proxy) -> None:
    with connected(proxy) as before:
        echoed(before, b"a")
        proxy.set(Mode.REFUSE)
        with pytest.raises(ConnectionResetError), connected(proxy) as fresh:
            fresh.recv(1)
        assert echoed(before, b"b") == b"b"
        proxy.set(Mode.PASS)
        with connected(proxy) as again:
            assert echoed(again, b"c") == b"c"


def test_a_cut_resets_what_is_open_once(proxy: Proxy) -> None:
    with connected(proxy) as before:
        echoed(before, b"a")
        proxy.cut()
        with pytest.raises(ConnectionResetError):
            before.recv(1)
    with connected(proxy) as after:
        assert echoed(after, b"b") == b"b"


def test_in_mode_cut_what_comes_is_reset_as_well(proxy: Proxy) -> None:
    with connected(proxy) as before:
        echoed(before, b"a")
        proxy.set(Mode.CUT)
        with pytest.raises(ConnectionResetError):
            before.recv(1)
    with pytest.raises(ConnectionResetError), connected(proxy) as fresh:
        fresh.recv(1)


def test_a_frozen_proxy_takes_all_and_passes_on_nothing_until_it_thaws(proxy: Proxy) -> None:
    with connected(proxy) as before:
        echoed(before, b"a")
        proxy.set(Mode.FREEZE)
        with connected(proxy) as fresh:
            before.sendall(b"b")
            fresh.sendall(b"c")
            assert is_silent(before)
            assert is_silent(fresh)
            proxy.set(Mode.PASS)
            assert received(before, 1) == b"b"
            assert received(fresh, 1) == b"c"


def test_a_target_that_is_not_there_resets_its_client(tmp_path: Path) -> None:
    with Proxy(target=tmp_path / "nobody") as proxy:
        with pytest.raises(ConnectionResetError), connected(proxy) as connection:
            connection.recv(1)
        until(lambda: proxy.open == 0)


def test_a_proxy_that_ends_leaves_nothing_open(echo: tuple[Echo, Target]) -> None:
    """Not even a connection that it was just accepting: the warning would fail a later test."""
    for _ in range(10):
        with Proxy(target=echo[1]) as proxy:
            clients = [connected(proxy) for _ in range(3)]
        for client in clients:
            client.close()
    gc.collect()


@linux
def test_dropped_packets_are_not_even_acknowledged(proxy: Proxy) -> None:
    with connected(proxy) as connection:
        echoed(connection, b"a")
        proxy.set(Mode.DROP)
        connection.sendall(b"b")
        assert is_silent(connection)
        assert unacknowledged(connection)
        proxy.set(Mode.PASS)
        assert received(connection, 1) == b"b"  # sent again by the kernel
        until(lambda: not unacknowledged(connection))


@linux
def test_a_frozen_connection_is_acknowledged_all_the_same(proxy: Proxy) -> None:
    with connected(proxy) as connection:
        echoed(connection, b"a")
        proxy.set(Mode.FREEZE)
        connection.sendall(b"b")
        assert is_silent(connection)
        until(lambda: not unacknowledged(connection))  # the kernel may take its time


@linux
def test_keepalive_and_user_timeout_notice_dropped_packets(proxy: Proxy) -> None:
    with connected(proxy) as idle, connected(proxy) as sending:
        for name, value in {"TCP_KEEPIDLE": 1, "TCP_KEEPINTVL": 1, "TCP_KEEPCNT": 2}.items():
            idle.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
        idle.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        sending.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 1_000)
        echoed(idle, b"a")
        echoed(sending, b"a")
        proxy.set(Mode.DROP)
        sending.sendall(b"b")
        for connection in (idle, sending):
            connection.settimeout(BOUND_S)
            # The kernel's own verdict, not the time-out of recv, which has no errno.
            with pytest.raises(TimeoutError, match="Connection timed out"):
                connection.recv(1)


@linux
def test_a_proxy_that_drops_packets_opens_no_connection(proxy: Proxy) -> None:
    proxy.set(Mode.DROP)
    with pytest.raises(TimeoutError):
        connected(proxy, timeout_s=QUIET_S)
    proxy.set(Mode.PASS)
    with connected(proxy) as connection:
        assert echoed(connection, b"a") == b"a"


def unacknowledged(connection: socket.socket) -> int:
    """tcpi_unacked of struct tcp_info: packets that were sent and not acknowledged."""
    info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)
    return int.from_bytes(info[24:28], sys.byteorder)
