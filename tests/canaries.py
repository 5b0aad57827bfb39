"""Exceptions of many kinds that contain a text which no log or report may show."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final

import httpx2
import psycopg
import pytest
import redis
from django.core.exceptions import ValidationError as FormError
from django.db import IntegrityError, OperationalError
from django.template import Context, Template
from psycopg import errors as psycopg_errors
from pydantic import BaseModel, TypeAdapter, field_validator

from workers.inference import AccessDenied, AnswerGarbled

CANARY: Final = "canary-7f3a91c2d4\nof Mrs Grüßenbach"


class Form(BaseModel):
    count: int
    text: str = ""

    @field_validator("text")
    @classmethod
    def _refuse(cls, text: str) -> str:
        if text:
            raise ValueError(f"not {text}")
        return text


class Custom(Exception):  # noqa: N818 (a name of its own kind)
    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text

    def __str__(self) -> str:
        return f"custom: {self.text}"

    def __repr__(self) -> str:
        return f"<{self.text}>"


def _raise(error: BaseException) -> None:
    raise error


def _chained(text: str) -> None:
    try:
        raise KeyError(text)  # noqa: TRY301 (it gets a context)
    except KeyError as error:
        raise IntegrityError(f"DETAIL: Failing row contains ({text})") from error


def _in_context(text: str) -> None:
    try:
        raise KeyError(text)  # noqa: TRY301 (it gets a context)
    except KeyError:
        int(text)


def _hidden(text: str) -> None:
    try:
        raise KeyError(text)  # noqa: TRY301 (it gets a context)
    except KeyError:
        raise RuntimeError(text) from None


def _noted(text: str) -> None:
    error = RuntimeError("failed")
    error.add_note(text)
    raise error


def _template(text: str) -> None:
    class Value:
        def shown(self) -> str:
            raise RuntimeError(text)

    Template("{{ value.shown }}").render(Context({"value": Value()}))


KINDS: dict[str, Callable[[str], Any]] = {
    "KeyError": lambda text: dict[str, int]()[text],
    "ValueError": int,
    "UnicodeEncodeError": lambda text: text.encode("ascii"),
    "UnicodeDecodeError": lambda text: text.encode("latin-1").decode("utf-8"),
    "JSONDecodeError": lambda text: json.loads(f'{{"{text}'),
    "ValidationError": lambda text: Form.model_validate({"count": text, "text": text}),
    "TypeError": lambda text: TypeAdapter(Any).validate_python(1) + text,
    "AttributeError": lambda text: getattr(object(), text),
    "FileNotFoundError": lambda text: open(f"/{text}"),  # noqa: PTH123, SIM115
    "IntegrityError": _chained,
    "ExceptionGroup": lambda text: _raise(ExceptionGroup(text, [KeyError(text), Custom(text)])),
    "Custom": lambda text: _raise(Custom(text)),
    "RuntimeError": _template,
    "OperationalError": lambda text: _raise(OperationalError(text)),
    "CheckViolation": lambda text: _raise(psycopg_errors.CheckViolation(f"DETAIL: ({text})")),
    "DataError": lambda text: _raise(psycopg.DataError(text)),
    "ResponseError": lambda text: _raise(redis.ResponseError(f"ERR unknown 'x' {text}")),
    "RemoteProtocolError": lambda text: _raise(httpx2.RemoteProtocolError(text)),
    "AnswerGarbled": lambda text: _raise(AnswerGarbled("JSONDecodeError", text=text)),
    "AccessDenied": lambda text: _raise(AccessDenied(text)),
    "in context": _in_context,
    "hidden": _hidden,
    "noted": _noted,
    "form": lambda text: _raise(FormError(text, code=text, params={"value": text})),
}


def raised(kind: str, text: str) -> BaseException:
    try:
        KINDS[kind](text)
    except Exception as error:  # noqa: BLE001 (the kinds are arbitrary)
        return error
    raise AssertionError(kind)


every_kind = pytest.mark.parametrize("kind", sorted(KINDS))


def is_clean(found: str) -> bool:
    """Return whether a text contains neither the canary nor one of its words."""
    words = [word for line in CANARY.splitlines() for word in line.split() if len(word) > 3]
    return not any(word in found for word in (*words, "7f3a91c2d4"))
