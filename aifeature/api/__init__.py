"""The JSON API. `api.urls` is mounted at /api/v1/."""

from __future__ import annotations

from aifeature.api.app import Api
from aifeature.api.auth import AUTH
from aifeature.api.events import router as events_router
from aifeature.api.feedback import router as feedback_router
from aifeature.api.representation import NAMESPACE
from aifeature.api.routes import router

__all__ = ["api"]

api = Api(
    title="AI features",
    version="1",
    description=(
        "Submit a job, get its result. Errors are problem documents (RFC 9457) with a stable"
        " `code`. Times are RFC 3339 in UTC. You see your own jobs only."
    ),
    urls_namespace=NAMESPACE,
    auth=AUTH,
)
api.add_router("", router)
api.add_router("", events_router)
api.add_router("", feedback_router)
