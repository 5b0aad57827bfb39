"""A service that does not answer causes one line with the reason, and exit code 2."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from project.stack.errors import ConfigError
from project.stack.external import external_services

if TYPE_CHECKING:
    from collections.abc import Callable

    from .conftest import RunningStack

PASSWORD = "hunter2secret"


def test_an_unreachable_database_ends_the_start(start: Callable[..., RunningStack]) -> None:
    url = f"postgresql://app:{PASSWORD}@127.0.0.1:1/app"
    stack = start("manage.py", "stack", DATABASE_URL=url)
    assert stack.wait() == 2
    (line,) = stack.text().splitlines()
    assert line.startswith("DATABASE_URL: no PostgreSQL at 127.0.0.1:1 (")
    assert "unset it" in line
    assert PASSWORD not in line
    assert stack.all_gone()


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("REDIS_URL", f"redis://:{PASSWORD}@127.0.0.1:1/0", "no Redis at 127.0.0.1:1"),
        ("REDIS_URL", "unix:///nowhere/redis.sock", "no Redis at /nowhere/redis.sock ("),
        ("REDIS_URL", f"redis://:{PASSWORD}@127.0.0.1:1/first", "a database that is not a number"),
        ("REDIS_URL", "nonsense", "REDIS_URL is not a Redis address"),
        ("DATABASE_URL", "mysql://somewhere", "DATABASE_URL is not a PostgreSQL address"),
        ("ANTHROPIC_BASE_URL", "http://127.0.0.1:1", "nobody answers at 127.0.0.1:1"),
        ("ANTHROPIC_BASE_URL", "127.0.0.1", "ANTHROPIC_BASE_URL is not a web address"),
    ],
)
def test_the_line_names_variable_place_and_fix(name: str, value: str, expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        external_services({name: value})
    line = str(caught.value)
    assert line.startswith(name)
    assert expected in line
    assert "unset it" in line
    assert PASSWORD not in line
    assert "\n" not in line


def test_without_a_key_the_sandbox_answers() -> None:
    assert external_services({}).sandbox
    assert not external_services({"ANTHROPIC_API_KEY": "k"}).sandbox
