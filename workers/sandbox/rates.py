"""The rates at which the stand-in errs and follows injected instructions, with their sources."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

CHOSEN = "Chosen for this stand-in, so that 100 cases show it: not a measurement of a model."
SPOTLIGHTING = "fenced and datamarked: arXiv 2403.14720, rounded; nothing protects the others"
TIERS = ("haiku", "sonnet", "opus")

ERRORS = {
    "dropped_fact": (0.24, 0.12, 0.06),
    "changed_number": (0.12, 0.06, 0.03),
    "invented_sentence": (0.18, 0.09, 0.04),
    "wrong_language": (0.30, 0.15, 0.08),
    "missing_citation": (0.30, 0.15, 0.08),
    "wrong_label": (0.40, 0.20, 0.10),
}
"""By error: its rate in each tier, while the prompt does not forbid it."""

FORBIDDEN = 0.2
"""Factor of an error that the instructions forbid, and of a wrong label among defined ones."""

INVITED = 5
"""Factor of invented sentences if the instructions invite them."""

_INVITES = re.compile(
    r"\b(?:(?:add|include|supply|complete|supplement|extend|enrich|fill)\b[^.;\n]{0,60}"
    r"\b(?:probabl\w+|plausibl\w+|likely|usual\w*|typical\w*|expect\w*|imagin\w+|gaps?|missing)"
    r"|make (?:\w+ )?up|embellish|invent)\b",
    re.IGNORECASE,
)
_REFUSES = re.compile(r"\b(?:do not|don't|never|not)\s+(?:\w+\s+){0,2}$", re.IGNORECASE)

FOLLOWED = {"outside": 1.0, "forged_end": 1.0, "fenced": 0.3, "datamarked": 0.01}
"""By protection of an instruction in the user's turn: how often it is followed."""

SENSITIVITY, SPECIFICITY = 0.9, 0.95
"""Share of bad texts that a judge or a moderator finds, and of good ones that it lets pass."""

_FIGURES = r"(?:names?|numbers?|figures?|amounts?|dates?|facts?|details?)"
_FORBIDS = {
    "dropped_fact": rf"(?:keep|preserve|retain|include)\b[^.;]{{0,30}}\b{_FIGURES}\b|key facts"
    r"|(?:omit|leave out|drop)\b|complete",
    "changed_number": rf"(?:keep|preserve|copy|check)\b[^.;]{{0,40}}\b{_FIGURES}\b"
    rf"|{_FIGURES}\b[^.;]{{0,30}}\b(?:exact\w*|unchanged)",
    "invented_sentence": r"only what|by the \w+ alone|(?:only|solely) (?:on|from|the)\b|grounded"
    r"|(?:do not|don't|never) (?:invent|add|make up|guess|assume)",
    "wrong_language": r"language (?:of|as|in which)\b|same language|'s (?:own )?language",
    "missing_citation": r"cit(?:e|es|ing|ations?)\b|name (?:the|each) (?:section|source)",
}


@lru_cache(maxsize=256)
def errors(instructions: str, model: str) -> dict[str, float]:
    """Return the rate of each error; a model of an unknown tier has those of the smallest."""
    tier = next((at for at, name in enumerate(TIERS) if name in model), 0)
    return {error: of[tier] * _factor(error, instructions) for error, of in ERRORS.items()}


def _factor(error: str, instructions: str) -> float:
    if error == "invented_sentence" and any(
        not _REFUSES.search(instructions[: invitation.start()])
        for invitation in _INVITES.finditer(instructions)
    ):
        return INVITED
    pattern = _FORBIDS.get(error)
    forbidden = pattern and re.search(rf"\b(?:{pattern})", instructions, re.IGNORECASE)
    return FORBIDDEN if forbidden else 1


def table() -> dict[str, Any]:
    """Return all rates and their sources."""
    by_tier = {error: dict(zip(TIERS, of, strict=True)) for error, of in ERRORS.items()}
    judging = {"sensitivity": SENSITIVITY, "specificity": SPECIFICITY, "source": CHOSEN}
    return {
        "errors": {
            "rates": by_tier,
            "factor_if_forbidden": FORBIDDEN,
            "factor_if_invited": INVITED,
            "source": CHOSEN,
        },
        "instructions_followed": {"rates": FOLLOWED, "source": SPOTLIGHTING},
        "judge_and_moderator": judging,
    }
