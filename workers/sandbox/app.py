"""The ASGI application: the provider's API, and the controls of the sandbox."""

from __future__ import annotations

import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from workers.sandbox import cache, validate
from workers.sandbox import rates as error_rates
from workers.sandbox.catalog import MODELS
from workers.sandbox.delivery import fresh_id
from workers.sandbox.faults import FaultPlan
from workers.sandbox.messages import Messages
from workers.sandbox.rejection import Rejection
from workers.sandbox.settings import Clock, SandboxSettings
from workers.sandbox.state import Sandbox
from workers.sandbox.wire import Wire

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.requests import Request


def create_app(settings: SandboxSettings | None = None, *, clock: Clock = time.time) -> Starlette:
    """Return a new application. `app.state.sandbox` is its state."""
    sandbox = Sandbox(settings or SandboxSettings(), clock)

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        yield
        sandbox.record.close()

    app = Starlette(
        lifespan=lifespan,
        routes=[
            Route("/v1/messages", Messages(sandbox), methods=["POST"]),
            Route("/v1/messages/count_tokens", count_tokens, methods=["POST"]),
            Route("/v1/models", models, methods=["GET"]),
            Route("/sandbox/faults", faults, methods=["GET", "PUT", "DELETE"]),
            Route("/sandbox/calls", calls, methods=["GET", "DELETE"]),
            Route("/sandbox/rates", rates, methods=["GET"]),
            Route("/sandbox/health", health, methods=["GET"]),
        ],
        exception_handlers={HTTPException: _http_error, Rejection: _rejected},
    )
    app.state.sandbox = sandbox
    return app


async def count_tokens(request: Request) -> Response:
    """Return an estimate of a prompt's tokens. The call costs nothing and is not recorded."""
    wire = Wire(request.scope, request.receive, request._send)  # noqa: SLF001 - no public name
    validate.check_headers(wire.headers)
    body = validate.parse_body(await wire.body())
    validate.check_request(body, counting=True)
    total = cache.boundaries(body)[-1].tokens
    headers = _sandbox(request).limit_headers(body["model"])
    return _json({"input_tokens": total}, headers=headers)


async def models(request: Request) -> Response:
    """Return the models."""
    validate.check_headers(dict(request.headers))
    data = [
        {
            "type": "model",
            "id": model.id,
            "display_name": model.display_name,
            "created_at": "1970-01-01T00:00:00Z",
            "lifecycle": "active",
            "max_input_tokens": model.context,
            "max_tokens": model.max_output,
        }
        for model in MODELS.values()
    ]
    first, last = data[0]["id"], data[-1]["id"]
    return _json({"data": data, "has_more": False, "first_id": first, "last_id": last})


async def faults(request: Request) -> Response:
    """Show, replace or remove the fault plan. An invalid plan gives a 422 with its errors."""
    sandbox = _sandbox(request)
    if request.method == "PUT":
        try:
            plan = FaultPlan.model_validate_json(await request.body())
        except ValidationError as error:
            problems = error.errors(include_url=False, include_context=False)
            return JSONResponse({"errors": problems}, status_code=422)
        sandbox.set_plan(plan)
    elif request.method == "DELETE":
        sandbox.set_plan(FaultPlan(seed=sandbox.settings.seed))
    return JSONResponse(sandbox.faults.plan.model_dump(mode="json"))


async def calls(request: Request) -> Response:
    """Return the recorded calls, filtered by `attempt_id` and `since` (seconds since 1970)."""
    sandbox = _sandbox(request)
    if request.method == "DELETE":
        sandbox.record.clear()
        return JSONResponse({"calls": []})
    try:
        since = float(request.query_params.get("since", "0"))
    except ValueError:
        return JSONResponse({"errors": [{"loc": ["since"], "msg": "not a number"}]}, 422)
    attempt_id = request.query_params.get("attempt_id")
    return JSONResponse({"calls": sandbox.record.calls(attempt_id=attempt_id, since=since)})


async def rates(request: Request) -> Response:
    """Return the rates at which answers have faults, their sources, and the factor in force."""
    return JSONResponse({"factor": _sandbox(request).error_rates, **error_rates.table()})


async def health(_request: Request) -> Response:
    """Report that the application answers."""
    return JSONResponse({"status": "ok"})


def _sandbox(request: Request) -> Sandbox:
    sandbox: Sandbox = request.app.state.sandbox
    return sandbox


def _json(
    body: dict[str, Any], status: int = 200, headers: dict[str, str] | None = None
) -> JSONResponse:
    return JSONResponse(body, status, {"request-id": fresh_id("req"), **(headers or {})})


def _rejected(_request: Request, error: Exception) -> Response:
    assert isinstance(error, Rejection)  # noqa: S101 - the handler is registered for it alone
    request_id = fresh_id("req")
    headers = {"request-id": request_id, **error.headers()}
    return JSONResponse(error.body(request_id), error.status, headers)


def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - the handler is registered for it alone
    message = error.detail if error.status_code == 405 else f"not found: {request.url.path}"  # noqa: PLR2004
    return _rejected(request, Rejection(error.status_code, message))
