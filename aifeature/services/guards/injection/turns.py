"""Forged turns: text that looks like a turn of the conversation or the end of a fence."""

# ruff: noqa: RUF001

from __future__ import annotations

import re
from typing import Final

_TOKENS: Final = re.compile(
    r"<\|\s{0,3}(?:im_start|im_end|system|user|assistant|end|begin_of_text|endoftext|eot_id|eot"
    r"|start_header_id|end_header_id|endofprompt|return|channel|message|start)[\w ]{0,20}\|>"
    r"|\[/?inst\]|<</?sys>>|\[/?(?:system|sys|available_tools|tool_results)\](?!\([^#])"
    r"|<(?:start|end)_of_turn>|<bos>|<eos>|</?s>(?=\s*[<\[])"
    r"|</?\s{0,3}(?:system|assistant|human|sys|system_?prompt|instructions?|system_?message)"
    r"\s{0,3}/?>"
    r"|(?:^|\s)#{1,4} ?(?:new |system |updated )?(?:instructions?|system prompt"
    r"|system message|system|assistant|response)[ \t]{0,3}:"
    r"|(?:^|\n)[ \t>*_#\[=-]{0,12}(?:begin|start|end)(?:ning)?(?: of)?(?: the| new)?"
    r"[ _-](?:system|developer|admin|assistant)[ _-]"
    r"(?:prompt|message|instructions?|override|note)",
)
_ROLE: Final = re.compile(
    r"(?:^|\n)[ \t>*_#\[<(\"{-]{0,6}(human|user|assistant|system|ai|developer|chatgpt)"
    r"(?: message| prompt| override| note| update)?[\]*_>)\"]{0,4}[ \t]{0,3}:[ \t*_]{0,6}(?=\S)"
)
_MARK: Final = re.compile(r"[<\[#]")
_MODEL_ROLES: Final = frozenset({"assistant", "ai", "chatgpt", "system", "developer"})
_CLOSED: Final = re.compile(
    r"<\s{0,3}([/∕⁄÷]?)\s{0,3}(documents?|context|input|user_?input|user|data|text|content|email"
    r"|e-mail|ticket|query|question|prompt|message|untrusted|source|sources|article|passage"
    r"|knowledge|request|task|example|transcript)[_ \t\d-]{0,4}/?>"
)
_IMAGE: Final = re.compile(
    r"!\[[^\]\n]{0,200}\]\([^)\s]{0,300}[?&=/]"
    r"(?:[A-Z][A-Z_]{3,40}|\{[^}\n]{1,60}\}|\[[^\]\n]{1,60}\]|<[^>\n]{1,60}>)"
)


def tokens(folded: str) -> re.Match[str] | None:
    """Return the first token of a chat template, or heading of a prompt, in a folded text."""
    if not _MARK.search(folded) and not any(name in folded for name in _MODEL_ROLES):
        return None
    return _TOKENS.search(folded)


def forged(folded: str) -> re.Match[str] | None:
    """Return the first turn or end of a fence that the text does not open itself."""
    found = tokens(folded)
    if found:
        return found
    roles = list(_ROLE.finditer(folded)) if ":" in folded else []
    names = {match[1] for match in roles}
    if "human" in names and (names & _MODEL_ROLES or _is_later(roles, folded)):
        return roles[0]
    if "assistant" in names and names & {"user", "system"}:
        return roles[0]
    opened: dict[str, int] = {}
    for match in _CLOSED.finditer(folded):
        name = match[2]
        opened[name] = opened.get(name, 0) + (-1 if match[1] else 1)
        if opened[name] < 0:
            return match
    return None


def _is_later(roles: list[re.Match[str]], folded: str) -> bool:
    """Return whether a turn of the human follows other text after an empty line."""
    return any(
        match[1] == "human"
        and folded[: match.start()].strip()
        and "\n\n" in folded[max(0, match.start() - 3) : match.start() + 2]
        for match in roles
    )


def system_lines(folded: str) -> list[tuple[int, int]]:
    """Return where lines begin and end that pose as a turn of the system or the assistant."""
    found = []
    for match in _ROLE.finditer(folded):
        if match[1] in _MODEL_ROLES:
            end = folded.find("\n", match.end())
            found.append((match.end(), min(end if end > 0 else len(folded), match.end() + 400)))
    return found[:20]


def image_with_blank(text: str) -> re.Match[str] | None:
    """Return the first image whose address has a blank for the model to fill, such as `{data}`."""
    return _IMAGE.search(text)
