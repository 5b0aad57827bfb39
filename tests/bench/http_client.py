"""`python -m tests.bench.http_client`: simulated users, in a process of their own.

Reads one JSON object from stdin (see `Workload`) and writes the answers to stdout. It uses HTTP/1.1
over kept connections with little code: on a small machine, a full client would slow the measured
server.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass

HEADER_END = b"\r\n\r\n"
ANSWER_S = 60.0


@dataclass(frozen=True, slots=True)
class Workload:
    """The requests of the users. Each has one connection and at most one request in flight."""

    host: str
    port: int
    tokens: Sequence[str]
    clients: int
    seconds: float
    method: str
    paths: Sequence[str]
    """Client n requests path n; fewer paths are used in turn."""
    body: str = ""
    every_s: float = 0.0
    """Seconds between two requests of one client; 0 sends the next one immediately."""


@dataclass(frozen=True, slots=True)
class Answered:
    """One answer. Times in seconds."""

    sent_at: float
    """Since the epoch."""
    took_s: float
    status: int
    body: str


class Connection:
    def __init__(self, workload: Workload, token: str) -> None:
        self._workload = workload
        self._head = (
            f"Host: {workload.host}:{workload.port}\r\nAuthorization: Bearer {token}\r\n"
            "Accept: application/json\r\n"
        )
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def request(self, method: str, path: str, body: str) -> tuple[int, bytes]:
        """Return status and body of the answer."""
        if self._streams is None:
            self._streams = await asyncio.open_connection(self._workload.host, self._workload.port)
        reader, writer = self._streams
        data = body.encode()
        kind = f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n" if data else ""
        writer.write(f"{method} {path} HTTP/1.1\r\n{self._head}{kind}\r\n".encode() + data)
        head = (await reader.readuntil(HEADER_END)).decode("latin-1").lower()
        status = int(head.split(" ", 2)[1])
        length = next(
            int(line.partition(":")[2])
            for line in head.split("\r\n")
            if line.startswith("content-length:")
        )
        answer = await reader.readexactly(length)
        if "connection: close" in head:
            self.close()
        return status, answer

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


async def _user(number: int, workload: Workload, begin: float, keep_body: bool) -> list[Answered]:
    connection = Connection(workload, workload.tokens[number % len(workload.tokens)])
    loop = asyncio.get_running_loop()
    answers: list[Answered] = []
    path = workload.paths[number % len(workload.paths)]
    turn = 0
    # Users with a pace start spread over it.
    offset = workload.every_s * number / workload.clients
    while True:
        due = begin + offset + turn * workload.every_s if workload.every_s else loop.time()
        if due >= begin + workload.seconds:
            break
        await asyncio.sleep(max(0.0, due - loop.time()))
        started, sent_at = loop.time(), time.time()
        status, body = await asyncio.wait_for(
            connection.request(workload.method, path, workload.body), ANSWER_S
        )
        kept = body.decode() if keep_body or status >= 300 else ""
        answers.append(Answered(sent_at, loop.time() - started, status, kept))
        turn += 1
        if loop.time() >= begin + workload.seconds:
            break
    connection.close()
    return answers


async def _all(workload: Workload) -> list[Answered]:
    begin = asyncio.get_running_loop().time() + 0.1
    users = (_user(n, workload, begin, workload.method == "POST") for n in range(workload.clients))
    return [answer for answers in await asyncio.gather(*users) for answer in answers]


def main() -> None:
    answers = asyncio.run(_all(Workload(**json.load(sys.stdin))))
    json.dump([asdict(answer) for answer in answers], sys.stdout)


if __name__ == "__main__":
    main()
