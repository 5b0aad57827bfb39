"""The inference layer: from a complete request to a priced answer.

Importing it loads only types and errors. `Gateway` and `AnthropicClient` are loaded on first use,
because they load the provider's SDK, which web processes do not need.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from workers.inference.errors import (
    Aborted,
    AccessDenied,
    AnswerEmpty,
    AnswerGarbled,
    AnswerIncomplete,
    AnswerTruncated,
    AnswerUnusable,
    Billing,
    BillingStopped,
    Cancelled,
    ConnectionFailed,
    ContextExceeded,
    DeadlineReached,
    Deferred,
    InferenceError,
    NotPriced,
    Overloaded,
    Permanent,
    ProviderFault,
    ProviderTimeout,
    RateLimited,
    Refused,
    RequestRejected,
    Transient,
    UnexpectedStop,
)
from workers.inference.types import (
    Cancel,
    DeltaSink,
    InferenceRequest,
    InferenceResult,
    Message,
    TextBlock,
    TokenUsage,
)

if TYPE_CHECKING:
    from workers.inference.client import AnthropicClient
    from workers.inference.gateway import Gateway

__all__ = [
    "Aborted",
    "AccessDenied",
    "AnswerEmpty",
    "AnswerGarbled",
    "AnswerIncomplete",
    "AnswerTruncated",
    "AnswerUnusable",
    "AnthropicClient",
    "Billing",
    "BillingStopped",
    "Cancel",
    "Cancelled",
    "ConnectionFailed",
    "ContextExceeded",
    "DeadlineReached",
    "Deferred",
    "DeltaSink",
    "Gateway",
    "InferenceError",
    "InferenceRequest",
    "InferenceResult",
    "Message",
    "NotPriced",
    "Overloaded",
    "Permanent",
    "ProviderFault",
    "ProviderTimeout",
    "RateLimited",
    "Refused",
    "RequestRejected",
    "TextBlock",
    "TokenUsage",
    "Transient",
    "UnexpectedStop",
]

_ON_FIRST_USE = {
    "AnthropicClient": "workers.inference.client",
    "Gateway": "workers.inference.gateway",
}


def __getattr__(name: str) -> Any:
    if name not in _ON_FIRST_USE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_ON_FIRST_USE[name]), name)
