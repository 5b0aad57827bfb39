"""The tables. The hot transitions are SQL functions, called from `transitions` alone."""

from aifeature.models.control import ControlChange, FeatureControl, Stage
from aifeature.models.dispatch import DispatchTurn, Worker
from aifeature.models.job import TERMINAL, Job, Status
from aifeature.models.ledger import Attempt, AttemptState, SpendWindow
from aifeature.models.tick import TickSlot
from aifeature.models.token import ApiToken

__all__ = [
    "TERMINAL",
    "ApiToken",
    "Attempt",
    "AttemptState",
    "ControlChange",
    "DispatchTurn",
    "FeatureControl",
    "Job",
    "SpendWindow",
    "Stage",
    "Status",
    "TickSlot",
    "Worker",
]
