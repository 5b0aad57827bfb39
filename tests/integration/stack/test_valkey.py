"""The embedded Valkey requires its password, which no command line shows."""

from __future__ import annotations

from urllib.parse import urlsplit

import psutil
import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from project.stack.throwaway import running


def test_it_refuses_others_and_hides_the_password() -> None:
    with running(database=False) as found:
        url = found.env["REDIS_URL"]
        parts = urlsplit(url)
        assert parts.password
        with redis.Redis.from_url(url) as known:
            assert known.ping()
        for password in (None, "", "x", parts.password[:-1]):
            with (
                redis.Redis(
                    host=parts.hostname or "",
                    port=parts.port or 0,
                    password=password,
                    retry=Retry(NoBackoff(), 0),  # by default it waits for seconds
                ) as c,
                pytest.raises(redis.AuthenticationError),
            ):
                c.ping()
        lines = [" ".join(each.info["cmdline"] or []) for each in psutil.process_iter(["cmdline"])]
        assert not any(parts.password in line for line in lines)
