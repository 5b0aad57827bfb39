"""Database models. Only `transitions` calls the SQL functions of the hot transitions."""

from aifeature.models.access import AccessBlock, BetaMember
from aifeature.models.account import ProviderAccount
from aifeature.models.alarm import NumberAction, NumberRule, Release
from aifeature.models.alert import Alert, CheckRun
from aifeature.models.canary import Canary, CanaryStep
from aifeature.models.channel import AlertChannel, Delivery, Silence
from aifeature.models.control import (
    ControlChange,
    FeatureControl,
    KillMode,
    RegressionAction,
    Stage,
)
from aifeature.models.demo import DemoData
from aifeature.models.dispatch import DispatchTurn, Worker
from aifeature.models.failure import WebFailure
from aifeature.models.feedback import Feedback, JobSignal, NpsAnswer
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
from aifeature.models.numbers import AuditedAnswer, NumberSlot, SummedTime, UserCostDay
from aifeature.models.promotion import Activation, Evidence
from aifeature.models.provider import Forced, ModelControl
from aifeature.models.ramp import HealthReading, Level, Ramp
from aifeature.models.refused import RefusedSubmissions
from aifeature.models.shadow import Shadow, ShadowPair
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
    "AccessBlock",
    "Activation",
    "Alert",
    "AlertChannel",
    "ApiToken",
    "Attempt",
    "AttemptState",
    "AuditedAnswer",
    "BetaMember",
    "Canary",
    "CanaryStep",
    "CancelledBy",
    "CheckRun",
    "ControlChange",
    "Delivery",
    "DemoData",
    "DispatchTurn",
    "Evidence",
    "FeatureControl",
    "Feedback",
    "Forced",
    "GuardEvent",
    "HealthReading",
    "Job",
    "JobSignal",
    "KillMode",
    "Launch",
    "Level",
    "ModelControl",
    "NewGuardEvent",
    "NpsAnswer",
    "NumberAction",
    "NumberRule",
    "NumberSlot",
    "Origin",
    "Probe",
    "ProviderAccount",
    "Ramp",
    "RateOverride",
    "RefusedSubmissions",
    "RegressionAction",
    "Release",
    "ScheduleDefault",
    "Shadow",
    "ShadowPair",
    "SignIn",
    "SignInCount",
    "Silence",
    "SpendHour",
    "SpendWindow",
    "Stage",
    "Status",
    "SummedTime",
    "TickSlot",
    "UserCostDay",
    "Watch",
    "WebFailure",
    "Worker",
]
