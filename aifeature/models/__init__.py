"""Database models. Only `transitions` calls the SQL functions of the hot transitions."""

from aifeature.models.account import ProviderAccount
from aifeature.models.alert import Alert, CheckRun
from aifeature.models.control import (
    ControlChange,
    FeatureControl,
    KillMode,
    RegressionAction,
    Stage,
)
from aifeature.models.dispatch import DispatchTurn, Worker
from aifeature.models.failure import WebFailure
from aifeature.models.guard_event import GuardEvent, NewGuardEvent
from aifeature.models.job import EVALUATIONS_ACCOUNT, TERMINAL, CancelledBy, Job, Origin, Status
from aifeature.models.ledger import (
    NEEDS_A_PERSON,
    OF_USERS,
    UNSURE,
    Attempt,
    AttemptState,
    SpendWindow,
)
from aifeature.models.limits import RateOverride
from aifeature.models.promotion import Activation, Evidence
from aifeature.models.provider import Forced, ModelControl
from aifeature.models.sign_in import SignIn, SignInCount
from aifeature.models.spike import Launch, SpendHour
from aifeature.models.tick import TickSlot
from aifeature.models.token import ApiToken
from aifeature.models.watch import Probe, ScheduleDefault, Watch

__all__ = [
    "EVALUATIONS_ACCOUNT",
    "NEEDS_A_PERSON",
    "OF_USERS",
    "TERMINAL",
    "UNSURE",
    "Activation",
    "Alert",
    "ApiToken",
    "Attempt",
    "AttemptState",
    "CancelledBy",
    "CheckRun",
    "ControlChange",
    "DispatchTurn",
    "Evidence",
    "FeatureControl",
    "Forced",
    "GuardEvent",
    "Job",
    "KillMode",
    "Launch",
    "ModelControl",
    "NewGuardEvent",
    "Origin",
    "Probe",
    "ProviderAccount",
    "RateOverride",
    "RegressionAction",
    "ScheduleDefault",
    "SignIn",
    "SignInCount",
    "SpendHour",
    "SpendWindow",
    "Stage",
    "Status",
    "TickSlot",
    "Watch",
    "WebFailure",
    "Worker",
]
