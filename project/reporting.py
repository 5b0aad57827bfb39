"""Error reports to Sentry, without content of users or models.

A report contains only fields that are listed here. So a field that a later release of Sentry's SDK
adds is left out.
"""

from __future__ import annotations

import logging
from typing import Any, Final

import sentry_sdk
from sentry_sdk.integrations.celery import CeleryIntegration
from sentry_sdk.integrations.django import DjangoIntegration
from sentry_sdk.integrations.logging import ignore_logger

from aifeature.services.texts import web_addresses
from project import scrubbing

_KEPT: Final = (
    *("event_id", "timestamp", "level", "logger", "platform", "fingerprint", "transaction"),
    *("transaction_info", "release", "environment", "dist", "server_name", "sdk", "modules"),
    *("tags", "exception", "logentry", "breadcrumbs"),
)
_OF_FRAMES: Final = ("filename", "abs_path", "module", "function", "lineno", "in_app")
_OF_EXCEPTIONS: Final = ("type", "module", "thread_id")
_OF_MECHANISMS: Final = (
    *("type", "handled", "synthetic", "source", "exception_id", "parent_id"),
    "is_exception_group",
)
_OF_CRUMBS: Final = ("type", "level", "category", "message", "timestamp")
_OF_CONTEXTS: Final = {
    "runtime": ("name", "version"),
    "trace": ("trace_id", "span_id", "parent_span_id", "op"),
}
_OURS: Final = ("project", "aifeature", "workers", "evals", "deploy")
"""Loggers whose lines become breadcrumbs. Their lines contain ids, names and codes."""


def start(dsn: str, **options: Any) -> None:
    """Report errors to this DSN. `options` are passed to `sentry_sdk.init`.

    Prompts could leak through LLM integrations, local variables, request bodies, queries, task
    arguments, breadcrumbs, traces, logs and messages of exceptions. So no integration is enabled
    automatically, all collection is off, and each report is rebuilt before it is sent.
    """
    # A malformed request is not a defect, and any client could send a flood of them.
    ignore_logger("django.security.*")
    ignore_logger("apprise*")  # its lines may contain the address of an alert channel
    sentry_sdk.init(
        dsn=dsn,
        auto_enabling_integrations=False,
        integrations=[DjangoIntegration(), CeleryIntegration()],
        include_local_variables=False,
        include_source_context=False,
        max_request_body_size="never",
        data_collection={
            "user_info": False,
            "http_bodies": [],
            "cookies": {"mode": "off"},
            "url_query_params": {"mode": "off"},
            "gen_ai": {"inputs": False, "outputs": False},
            "database_query_data": False,
            "queues": False,
            "stack_frame_variables": False,
        },
        before_send=rebuilt,
        before_send_transaction=_nothing,
        before_send_log=_nothing,
        before_send_metric=_nothing,
        before_breadcrumb=crumb,
        spotlight=False,
        **options,
    )


def rebuilt(event: Any, hint: Any) -> Any:
    """Return an event rebuilt from types, codes, source locations, and this project's log lines."""
    error = _error(hint)
    found = {name: event[name] for name in _KEPT if name in event}
    found["contexts"] = {
        name: _only(event["contexts"][name], kept)
        for name, kept in _OF_CONTEXTS.items()
        if name in event.get("contexts", {})
    }
    if "request" in event:
        sent = _only(event["request"], ("method", "url"))
        found["request"] = {name: web_addresses.safe(str(value)) for name, value in sent.items()}
    if "transaction" in event:  # the path itself, if no pattern matches it
        found["transaction"] = web_addresses.safe(str(event["transaction"]))
    if "exception" in event:
        kinds = {type(each).__name__: scrubbing.kind(each) for each in scrubbing.reachable(error)}
        values = event["exception"].get("values") or []
        found["exception"] = {"values": [_exception(value, kinds) for value in values]}
    if "logentry" in event:
        found["logentry"] = _entry(hint.get("log_record"))
    if "breadcrumbs" in event:
        crumbs = event["breadcrumbs"].get("values") or []
        found["breadcrumbs"] = {"values": [_only(each, _OF_CRUMBS) for each in crumbs]}
    return found


def crumb(crumb: Any, hint: Any) -> Any:
    """Return a log line of this project as a breadcrumb, and None for others, such as queries."""
    record = hint.get("log_record")
    return _only(crumb, _OF_CRUMBS) if record is not None and _is_ours(record) else None


def _entry(record: logging.LogRecord | None) -> dict[str, str]:
    """Return a log line. Lines of libraries lose their arguments, which may contain content."""
    if record is None:
        return {"message": ""}
    entry = {"message": str(record.msg)}
    return {**entry, "formatted": record.getMessage()} if _is_ours(record) else entry


def _is_ours(record: logging.LogRecord) -> bool:
    return record.name.partition(".")[0] in _OURS


def _exception(value: Any, kinds: dict[str, str]) -> dict[str, Any]:
    found = _only(value, _OF_EXCEPTIONS)
    found["value"] = kinds.get(str(value.get("type")).rpartition(".")[2], "")
    found["mechanism"] = _only(value.get("mechanism") or {}, _OF_MECHANISMS)
    frames = (value.get("stacktrace") or {}).get("frames") or []
    if frames:
        found["stacktrace"] = {"frames": [_only(frame, _OF_FRAMES) for frame in frames]}
    return found


def _error(hint: Any) -> BaseException | None:
    exc_info = hint.get("exc_info")
    return exc_info[1] if exc_info and isinstance(exc_info[1], BaseException) else None


def _only(found: Any, names: tuple[str, ...]) -> dict[str, Any]:
    return {name: found[name] for name in names if name in found}


def _nothing(*_: Any) -> None:
    return None
