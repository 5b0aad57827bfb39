"""Evidence for prompts, and what is live: activate, roll back, override.

Public: the modules and types below.

Size limit: 1,300 lines.
"""

from aifeature.models import Activation, Evidence
from aifeature.services.promotion import (
    activations,
    evidence,
    gate_check,
    local_stack,
    refusals,
    standing,
    subjects,
)
from aifeature.services.promotion.refusals import RefusedError
from aifeature.services.promotion.subjects import Conditions, Subject

__all__ = [
    "Activation",
    "Conditions",
    "Evidence",
    "RefusedError",
    "Subject",
    "activations",
    "evidence",
    "gate_check",
    "local_stack",
    "refusals",
    "standing",
    "subjects",
]
