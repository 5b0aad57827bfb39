"""An honest token count: word pieces, never more of them than there are UTF-8 bytes."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from workers.sandbox.text import CJK

REQUEST_OVERHEAD = 8
"""Tokens every request costs on top of its text."""

MESSAGE_OVERHEAD = 4
"""Tokens every message costs on top of its text."""

SCHEMA_PREAMBLE = 120
"""Tokens of the hidden instruction that a structured output adds, besides its schema."""

_PIECE = re.compile(rf"[{CJK}]| ?[^\W\d_{CJK}]{{1,6}}| ?\d{{1,3}}|\s+|[^\w\s]|.", re.DOTALL)


def pieces(text: str) -> list[str]:
    """The text cut into tokens; joined again they are the text."""
    return _PIECE.findall(text)


def count(text: str) -> int:
    """Tokens of a text."""
    return len(_PIECE.findall(text))


def block_text(block: Any) -> str:
    """What of a content block is counted: the text of a text block, else its JSON."""
    if isinstance(block, str):
        return block
    if isinstance(block, Mapping):
        if block.get("type") == "text":
            return str(block.get("text", ""))
        return canonical({k: v for k, v in block.items() if k != "cache_control"})
    return canonical(block)


def canonical(value: Any) -> str:
    """JSON with one spelling per value."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def blocks(content: Any) -> Sequence[Any]:
    """The blocks of a `content` or `system`, which may also be a bare string or absent."""
    if content is None:
        return ()
    return (content,) if isinstance(content, str) else tuple(content)


def schema_of(body: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The JSON Schema a request wants its answer to obey, or None."""
    output_format = (body.get("output_config") or {}).get("format") or body.get("output_format")
    if not output_format:
        return None
    schema: Mapping[str, Any] = output_format["schema"]
    return schema


def schema_tokens(body: Mapping[str, Any]) -> int:
    """Tokens of the hidden preamble, 0 without structured output."""
    schema = schema_of(body)
    return 0 if schema is None else SCHEMA_PREAMBLE + count(canonical(schema))
