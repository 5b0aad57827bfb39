"""Log lines: one each, bounded, not to be forged, and few about what is refused again and again."""

from __future__ import annotations

import io
import logging
import sys
from collections.abc import Iterator
from logging.config import DictConfigurator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from project.log_flood import PER_MINUTE, RefusalFilter, ServerFilter
from project.log_lines import INDENT, LONGEST, LONGEST_REFUSAL, LineFormatter
from project.logs import logging_config
from tests.unit.clock import Clock

NOT_FOUND = {"status_code": 404}
hostile = st.one_of(
    st.text(max_size=200),
    st.sampled_from(("\n2026-11-28T10:00:00.000Z ERROR forged", "\r\x1b[2K", "\u202e\u2028", "\0")),
    st.builds(lambda c: c * 50_000, st.characters()),
)


@pytest.fixture
def log(clock: Clock) -> Iterator[tuple[logging.Logger, io.StringIO]]:
    """A logger with the formatter and the filter that the settings name."""
    config = logging_config("INFO")
    factory = DictConfigurator(config)
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(factory.configure_formatter(config["formatters"]["line"]))
    kind = type(factory.configure_filter(config["filters"]["refusals"]))
    assert kind is RefusalFilter
    assert config["handlers"]["stderr"]["filters"] == ["refusals"]
    handler.addFilter(RefusalFilter(clock))
    logger = logging.Logger("test")  # noqa: LOG001 (no other test shares it)
    logger.addHandler(handler)
    yield logger, stream
    handler.close()


def line(text: str, *, error: BaseException | None = None, **extra: Any) -> str:
    exc_info = (type(error), error, error.__traceback__) if error else None
    record = logging.getLogger("x").makeRecord(
        "x", logging.ERROR, __file__, 1, "%s", (text,), exc_info, extra=extra
    )
    formatter = LineFormatter("%(asctime)s %(levelname)s %(name)s %(message)s")
    return formatter.format(record)


def raised(text: str, depth: int = 0) -> BaseException:
    try:
        if depth:
            raise raised(text, depth - 1)
        raise ValueError(text)  # noqa: TRY301 (it gets a traceback)
    except ValueError as error:
        return error


@given(text=hostile)
def test_a_record_is_one_bounded_printable_line(text: str) -> None:
    found = line(text)
    assert found.isprintable()
    assert len(found) <= LONGEST
    assert len(line(text, status_code=404)) <= LONGEST_REFUSAL


@given(text=hostile, depth=st.integers(0, 60))
def test_a_traceback_is_bounded_and_forges_no_record(text: str, depth: int) -> None:
    first, *below = line("failed", error=raised(text, depth)).split("\n")
    assert first.endswith("failed")
    assert all(part.startswith(INDENT) and part.isprintable() for part in below)
    assert len("\n".join(below)) < 100 * LONGEST
    assert any("Traceback" in part for part in below)


def test_the_end_of_a_long_traceback_is_kept() -> None:
    found = line("failed", where="\n".join(f"frame {number}" for number in range(500)))
    assert found.split("\n")[-1] == f"{INDENT}frame 499"
    assert "430 lines left out" in found


def test_a_refusal_has_no_traceback() -> None:
    assert "\n" not in line("Forbidden: /admin/", error=raised("no"), status_code=403)
    assert "Traceback" in line("Internal Server Error: /", error=raised("no"), status_code=500)


def test_frames_may_be_given_without_a_message() -> None:
    found = line("failed", where='  File "a.py", line 1, in f\n    g()\n')
    assert found.split("\n")[1:] == [f'{INDENT}  File "a.py", line 1, in f', f"{INDENT}    g()"]


def test_refusals_of_a_minute_are_counted_beyond_the_first(
    log: tuple[logging.Logger, io.StringIO], clock: Clock
) -> None:
    logger, stream = log
    for _ in range(PER_MINUTE + 500):
        logger.warning("Not Found: %s", "/" + "x" * 60_000, extra=NOT_FOUND)
    lines = stream.getvalue().splitlines()
    assert len(lines) == PER_MINUTE
    assert max(map(len, lines)) <= LONGEST_REFUSAL
    logger.warning("Forbidden: /admin/", extra={"status_code": 403})
    assert "403" not in stream.getvalue()
    assert "Forbidden" in stream.getvalue()  # one kind hides no other
    clock.now += 61
    logger.warning("Not Found: %s", "/" + "x" * 60_000, extra=NOT_FOUND)
    assert "(left out before this line: 500 of 404)" in stream.getvalue().splitlines()[-1]


def test_warnings_of_the_server_are_counted_too(clock: Clock) -> None:
    """Their handler is the server's own, which shows nothing but the text."""
    stream = io.StringIO()
    logger = logging.Logger("test")  # noqa: LOG001 (no other test shares it)
    logger.addHandler(logging.StreamHandler(stream))
    logger.addFilter(ServerFilter(clock))
    for _ in range(PER_MINUTE + 500):
        logger.warning("Invalid HTTP request received.")
    assert len(stream.getvalue().splitlines()) == PER_MINUTE
    logger.error("Exception in ASGI application")
    clock.now += 61
    logger.warning("Invalid HTTP request received.")
    told = "(left out before this line: 500 of Invalid HTTP request received.) Invalid HTTP"
    assert stream.getvalue().splitlines()[-1].startswith(told)
    for _ in range(PER_MINUTE + 5):
        logger.error("Exception in ASGI application")
    assert stream.getvalue().count("Exception in ASGI application") == PER_MINUTE + 6


def test_no_defect_is_left_out(log: tuple[logging.Logger, io.StringIO]) -> None:
    logger, stream = log
    for _ in range(PER_MINUTE + 5):
        logger.error("Internal Server Error: /", extra={"status_code": 500})
        logger.info("a line of our own")
    assert len(stream.getvalue().splitlines()) == 2 * (PER_MINUTE + 5)


def test_the_line_can_be_written_to_any_file(tmp_path: Any) -> None:
    with (tmp_path / "log").open("w", encoding="ascii", errors="strict") as file:
        file.write(line("\ud800\udfff\x00\r\n"))
    assert sys.getdefaultencoding() == "utf-8"


@pytest.mark.parametrize("library", ["axes.handlers", "django.request", "tornado.access"])
def test_a_line_about_a_visitor_quotes_no_personal_data(library: str) -> None:
    formatter = LineFormatter("%(message)s")
    for path in ("/anna.berg@postkontor.example/", "/?q=anna.berg%40postkontor.example"):
        record = logging.makeLogRecord({"name": library, "msg": "404 %s", "args": (path,)})
        found = formatter.format(record)
        assert "[EMAIL_1]" in found
        assert "anna" not in found


def test_a_line_of_this_project_keeps_its_addresses() -> None:
    record = logging.makeLogRecord({"name": "project.redis", "msg": "no answer of 192.0.2.7:6379"})
    assert LineFormatter("%(message)s").format(record) == "no answer of 192.0.2.7:6379"
