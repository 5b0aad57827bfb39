from __future__ import annotations

import ssl
from collections.abc import Iterator

import anthropic  # noqa: TID251 - some of these tests hold the sandbox against the real SDK
import httpx2
import pytest
import trustme

from tests.contract.sandbox_clients import FakeClock, client
from tests.sandbox_server import SandboxServer, running_sandbox
from tests.synthetic_mark import no_page_reads_the_synthetic_mark

__all__ = ["no_page_reads_the_synthetic_mark"]


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def server_tls(authority: trustme.CA) -> ssl.SSLContext:
    """The TLS context of a server on localhost."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    return context


@pytest.fixture(params=["plain", "tls"])
def secure(
    request: pytest.FixtureRequest, authority: trustme.CA, server_tls: ssl.SSLContext
) -> tuple[ssl.SSLContext | None, ssl.SSLContext | None]:
    """The server's TLS context and the client's, or two times None."""
    if request.param == "plain":
        return None, None
    ours = ssl.create_default_context()
    authority.configure_trust(ours)
    return server_tls, ours


@pytest.fixture(scope="module")
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture(scope="module")
def running(clock: FakeClock) -> Iterator[SandboxServer]:
    with running_sandbox(clock=clock) as server:
        yield server


@pytest.fixture
def server(running: SandboxServer) -> SandboxServer:
    running.reset()
    return running


@pytest.fixture
def sdk(server: SandboxServer) -> Iterator[anthropic.Anthropic]:
    with client(server.url, timeout=httpx2.Timeout(30)) as sdk:
        yield sdk
