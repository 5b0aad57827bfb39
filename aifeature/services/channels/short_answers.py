"""The library `requests` as the plugins of Apprise may use it: an answer is short and soon read.

A plugin reads the whole answer into memory, however long it is and however slowly it comes. The
limits of `requests` count only from one byte to the next.
"""

from __future__ import annotations

import time
from typing import Any, Final

import requests
from requests.adapters import HTTPAdapter

LONGEST: Final = 262_144
"""Bytes of an answer that are read. Those of the services are a few kilobytes."""

LATEST_S: Final = 5.0
"""Seconds for reading an answer, from its status on."""

_CHUNK: Final = 8_192


class TooLongError(requests.RequestException):
    """The answer is longer than LONGEST, or takes longer than LATEST_S."""


class _Adapter(HTTPAdapter):
    """Reads an answer up to the limits."""

    def send(self, *args: Any, **kwargs: Any) -> requests.Response:
        """Send a request, and read its answer.

        Raises:
            TooLongError: The answer goes beyond a limit. The rest is not read.
        """
        answer = super().send(*args, **{**kwargs, "stream": True})
        until, body = time.monotonic() + LATEST_S, bytearray()
        try:
            for part in answer.iter_content(_CHUNK):
                body += part
                if len(body) > LONGEST or time.monotonic() > until:
                    raise TooLongError
        except requests.RequestException:
            answer.close()
            raise
        answer._content = bytes(body)  # noqa: SLF001 (the library has no other place for it)
        return answer


class ShortAnswers:
    """Takes the place of the module `requests` in a plugin."""

    def __getattr__(self, name: str) -> Any:
        """Return everything else, such as `codes` and errors, as it is."""
        return getattr(requests, name)

    def request(self, method: str, url: str, **kwargs: Any) -> requests.Response:
        with requests.Session() as session:
            for scheme in ("https://", "http://"):
                session.mount(scheme, _Adapter())
            return session.request(method, url, **kwargs)

    def get(self, url: str, **kwargs: Any) -> requests.Response:
        return self.request("GET", url, **kwargs)

    def post(self, url: str, **kwargs: Any) -> requests.Response:
        return self.request("POST", url, **kwargs)

    def put(self, url: str, **kwargs: Any) -> requests.Response:
        return self.request("PUT", url, **kwargs)

    def delete(self, url: str, **kwargs: Any) -> requests.Response:
        return self.request("DELETE", url, **kwargs)
