"""Labels of a ticket."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Final

from pydantic import AfterValidator, Field


class Category(StrEnum):
    """Topic of a ticket. `v1.md` defines each for the model."""

    BILLING = "billing"
    REFUND = "refund"
    ACCOUNT = "account"
    ACCESS = "access"
    COURSE_CONTENT = "course_content"
    QUIZ_PROBLEM = "quiz_problem"
    CERTIFICATE = "certificate"
    TECHNICAL = "technical"
    INTEGRATION = "integration"
    PRIVACY = "privacy"
    SECURITY = "security"
    LEGAL = "legal"
    ABUSE = "abuse"
    OTHER = "other"


class Urgency(StrEnum):
    LOW = "low"
    NORMAL = "normal"
    HIGH = "high"
    CRITICAL = "critical"


_LANGUAGES: Final = frozenset(
    """
    aa ab ae af ak am an ar as av ay az ba be bg bh bi bm bn bo br bs ca ce ch co cr cs cu cv cy
    da de dv dz ee el en eo es et eu fa ff fi fj fo fr fy ga gd gl gn gu gv ha he hi ho hr ht hu
    hy hz ia id ie ig ii ik io is it iu ja jv ka kg ki kj kk kl km kn ko kr ks ku kv kw ky la lb
    lg li ln lo lt lu lv mg mh mi mk ml mn mr ms mt my na nb nd ne ng nl nn no nr nv ny oc oj om
    or os pa pi pl ps pt qu rm rn ro ru rw sa sc sd se sg si sk sl sm sn so sq sr ss st su sv sw
    ta te tg th ti tk tl tn to tr ts tt tw ty ug uk ur uz ve vi vo wa wo xh yi yo za zh zu
    """.split()  # noqa: SIM905 (a table)
)


def _known(code: str) -> str:
    if code not in _LANGUAGES:
        raise ValueError("is no code of ISO 639-1")
    return code


Language = Annotated[
    str, AfterValidator(_known), Field(json_schema_extra={"enum": sorted(_LANGUAGES)})
]
"""A code of ISO 639-1. The schema lists all of them, so that the provider cannot write another."""
