"""Count tokens: word pieces, never more than the text has UTF-8 bytes."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from workers.sandbox.text import CJK

REQUEST_OVERHEAD = 8
"""Tokens of a request in addition to its text."""

MESSAGE_OVERHEAD = 4
"""Tokens of a message in addition to its text."""

SCHEMA_PREAMBLE = 120
"""Tokens of the hidden instruction of structured output, without its schema."""

_PIECE = re.compile(rf"[{CJK}]| ?[^\W\d_{CJK}]{{1,6}}| ?\d{{1,3}}|\s+|[^\w\s]|.", re.DOTALL)


def pieces(text: str) -> list[str]:
    """Return the tokens of a text; joined they are the text."""
    return _PIECE.findall(text)


def count(text: str) -> int:
    """Return the number of tokens of a text."""
    return len(_PIECE.findall(text))


def block_text(block: Any) -> str:
    """Return the counted text of a content block: its text, or else its JSON."""
    if isinstance(block, str):
        return block
    if isinstance(block, Mapping):
        if block.get("type") == "text":
            return str(block.get("text", ""))
        return canonical({k: v for k, v in block.items() if k != "cache_control"})
    return canonical(block)


def canonical(value: Any) -> str:
    """Return the value as JSON in canonical form."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def blocks(content: Any) -> Sequence[Any]:
    """Return the blocks of a `content` or `system`, which may be a string or absent."""
    if content is None:
        return ()
    return (content,) if isinstance(content, str) else tuple(content)


def schema_of(body: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the JSON Schema of the answer, or None."""
    output_format = (body.get("output_config") or {}).get("format") or body.get("output_format")
    if not output_format:
        return None
    schema: Mapping[str, Any] = output_format["schema"]
    return schema


def schema_tokens(body: Mapping[str, Any]) -> int:
    """Return the tokens of the hidden instruction; 0 without structured output."""
    schema = schema_of(body)
    return 0 if schema is None else SCHEMA_PREAMBLE + count(canonical(schema))
