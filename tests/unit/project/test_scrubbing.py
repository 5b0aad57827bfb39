"""No log line quotes an exception, of any cause and from any library."""

from __future__ import annotations

import io
import logging
from collections.abc import Callable

import psycopg
import pytest
import redis
from django.core.exceptions import DisallowedHost
from django.db import IntegrityError, OperationalError
from hypothesis import given
from hypothesis import strategies as st
from psycopg import errors as psycopg_errors

from project import log_records, scrubbing
from project.log_lines import LineFormatter
from project.messages import NotOursError
from tests.canaries import CANARY, KINDS, every_kind, is_clean, raised
from workers.inference import AccessDenied

texts = st.text(st.characters(codec="utf-8"), min_size=8).map("¶{}¶".format)
"""None of them is found by chance in a path, in the source, or in an indentation."""


def logged(report: Callable[[logging.Logger, BaseException], None], error: BaseException) -> str:
    """The output of two handlers: ours, and one of a library."""
    out = io.StringIO()
    logger = logging.getLogger("tests.scrubbing")
    ours, plain = logging.StreamHandler(out), logging.StreamHandler(out)
    ours.setFormatter(LineFormatter("%(levelname)s %(name)s %(message)s"))
    for handler in (ours, plain):
        logger.addHandler(handler)
    try:
        raise error  # noqa: TRY301 (the handler below catches it)
    except BaseException as again:  # noqa: BLE001 (it is the one that was given)
        report(logger, again)
    finally:
        for handler in (ours, plain):
            logger.removeHandler(handler)
    return out.getvalue()


WAYS: dict[str, Callable[[logging.Logger, BaseException], None]] = {
    "exception": lambda logger, _: logger.exception("failed"),  # noqa: LOG004 (called in one)
    "argument": lambda logger, error: logger.error("failed: %s", error),
    "repr": lambda logger, error: logger.warning("failed: %r", error),
    "text": lambda logger, error: logger.error(f"failed: {error}"),  # noqa: G004
    "its repr in a text": lambda logger, error: logger.error(f"<Task {error!r}>"),  # noqa: G004
    "itself": lambda logger, error: logger.error(error),
    "named": lambda logger, error: logger.error(
        "Task %(name)s raised: %(exc)s", {"name": "t", "exc": repr(error)}, exc_info=error
    ),
    "stack": lambda logger, error: logger.error("failed", stack_info=True, exc_info=error),
}


@every_kind
@pytest.mark.parametrize("way", sorted(WAYS))
def test_no_log_line_quotes_an_exception(kind: str, way: str) -> None:
    error = raised(kind, CANARY)
    found = logged(WAYS[way], error)
    assert type(error).__name__ in found
    assert is_clean(found), found


CONTAINERS: dict[str, Callable[[BaseException], object]] = {
    "list": lambda error: [1, error],
    "tuple": lambda error: (error,),
    "set": lambda error: {error},
    "dict": lambda error: {"a": error},
    "key": lambda error: {error: 1},
    "nested": lambda error: {"a": [({"b": error},)]},
}


@every_kind
@pytest.mark.parametrize("container", CONTAINERS)
def test_no_exception_in_an_argument_is_quoted_even_after_it_was_handled(
    kind: str, container: str
) -> None:
    error = raised(kind, CANARY)
    held = CONTAINERS[container](error)
    record = log_records.Record("x", logging.ERROR, __file__, 1, "failed: %s", (held,), None)
    named = log_records.Record("x", logging.ERROR, __file__, 1, "%(a)s", ({"a": held},), None)
    for found in (record.getMessage(), named.getMessage()):
        assert type(error).__name__ in found
        assert is_clean(found), found


def test_an_argument_that_holds_no_exception_is_the_one_that_was_given() -> None:
    endless: list[object] = [{"a": (1, 2)}]
    endless.append(endless)
    record = log_records.Record("x", logging.ERROR, __file__, 1, "%s %s", (endless, 1), None)
    assert isinstance(record.args, tuple)
    assert record.args[0] is endless


def test_no_log_line_quotes_a_line_of_an_exception() -> None:
    first, second = "Failing row contains (Mrs Miller)", "  DETAIL: she has the flu"

    def report(logger: logging.Logger, error: BaseException) -> None:
        for line in str(error).splitlines():
            logger.warning("failed: %s", line)
            logger.warning("failed: %r", line.strip())

    found = logged(report, ValueError(f"{first}\n{second}"))
    assert found.count("ValueError") == 2 * 4, "by each of two handlers"
    assert "Miller" not in found
    assert "flu" not in found


@given(st.sampled_from(sorted(KINDS)), texts)
def test_a_trace_names_types_and_places_and_quotes_nothing(kind: str, text: str) -> None:
    error = raised(kind, text)
    found = "\n".join(scrubbing.trace(error))
    assert text not in found
    assert repr(text)[1:-1] not in found
    assert type(error).__name__ in found
    assert "canaries.py" in found


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (psycopg_errors.CheckViolation("DETAIL: x"), "CheckViolation 23514"),
        (OSError(111, "x", "/secret"), "ConnectionRefusedError 111 Connection refused"),
        (redis.ConnectionError("Error 111 to h:1. Connection refused."), "Connection refused"),
        (OperationalError('FATAL: role "x" does not exist'), "OperationalError does not exist"),
        (psycopg.OperationalError("timeout expired"), "OperationalError timeout expired"),
        (AccessDenied("HTTP 401"), "access_denied"),
        (NotOursError("it has no id"), "NotOursError it has no id"),
        (DisallowedHost("Invalid HTTP_HOST header: 'h'."), "Invalid HTTP_HOST header: 'h'."),
    ],
    ids=lambda value: type(value).__name__,
)
def test_codes_are_kept_and_what_helps_an_operator(error: Exception, kind: str) -> None:
    assert kind in scrubbing.kind(error)


def test_the_cause_that_a_library_wraps_is_named() -> None:
    error = IntegrityError("canary")
    error.__cause__ = psycopg_errors.UniqueViolation("canary")
    assert scrubbing.kind(error) == "IntegrityError < UniqueViolation 23505"


def test_a_code_that_came_with_an_answer_is_none_of_ours() -> None:
    error = RuntimeError("failed")
    error.code = "canary"  # type: ignore[attr-defined]
    assert scrubbing.kind(error) == "RuntimeError"


def test_an_endless_chain_ends() -> None:
    first, second = ValueError("canary"), KeyError("canary")
    first.__context__, second.__context__ = second, first
    assert is_clean("\n".join(scrubbing.trace(first)))


def test_callbacks_in_messages_of_asyncio_are_left_out() -> None:
    out = io.StringIO()
    logger = logging.getLogger("asyncio")
    handler = logging.StreamHandler(out)
    logger.addHandler(handler)
    try:
        logger.error("Exception in callback f('canary')\nhandle: <Handle f('canary')>")
    finally:
        logger.removeHandler(handler)
    assert out.getvalue().startswith("Exception in callback")
    assert "canary" not in out.getvalue()


def test_a_record_that_cannot_be_written_loses_its_arguments() -> None:
    out = io.StringIO()
    handler = log_records.StandardError(out)
    logger = logging.Logger("tests.broken")  # noqa: LOG001 (no other test shares it)
    logger.addHandler(handler)
    logger.error("%d documents", "canary")
    assert "tests.broken" in out.getvalue()
    assert "TypeError" in out.getvalue()
    assert "canary" not in out.getvalue()
    assert logging.raiseExceptions is False  # so do the handlers of libraries


@pytest.mark.parametrize("error", [KeyError("The patient, Mr Miller"), ValueError(7, "Mr\nMiller")])
def test_a_part_of_an_error_is_not_quoted_either(error: Exception) -> None:
    for quoted in (error.args[-1], repr(error.args[-1]), repr(str(error))):
        assert "Miller" not in scrubbing.without_texts(f"lookup failed for {quoted}", error)
