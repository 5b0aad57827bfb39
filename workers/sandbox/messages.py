"""`POST /v1/messages`: one call, from its arrival in the record to its last byte."""

from __future__ import annotations

import asyncio
import hashlib
from typing import TYPE_CHECKING, Any

from workers.sandbox import cache, tokens, validate
from workers.sandbox.compose import LONG_PROMPT_BYTES, compose
from workers.sandbox.delivery import deliver, fresh_id
from workers.sandbox.faults import FaultKind, FaultRule
from workers.sandbox.pace import Pace, until
from workers.sandbox.record import Call
from workers.sandbox.rejection import Rejection
from workers.sandbox.wire import ClientGone, Wire

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.types import Receive, Scope, Send

    from workers.sandbox.events import Reply
    from workers.sandbox.state import Sandbox


class Messages:
    """The ASGI endpoint."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        wire = Wire(scope, receive, send)
        arrived = asyncio.get_running_loop().time()
        raw, body, problem = await _read(wire)
        if raw is None:
            return
        call = self._arrived(wire, str(scope["path"]), raw, body)
        work = asyncio.create_task(self._answer(wire, call, body, problem, len(raw), arrived))
        self._sandbox.running.add(work)
        gone = asyncio.create_task(wire.gone())
        try:
            await asyncio.wait({work, gone}, return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                await _cancel(work)
                call.outcome = "client_gone" if call.outcome == "running" else call.outcome
            elif work.cancelled():
                call.outcome = "shutdown"
                await wire.cut()
            else:
                work.result()
        finally:
            work.cancel()
            gone.cancel()
            self._sandbox.running.discard(work)
            self._ended(wire, call)

    def _arrived(self, wire: Wire, path: str, raw: bytes, body: Mapping[str, Any]) -> Call:
        model = body.get("model")
        call = Call(
            request_id=fresh_id("req"),
            attempt_id=wire.headers.get("x-attempt-id"),
            path=path,
            model=model if isinstance(model, str) else None,
            stream=body.get("stream") is True,
            prompt_sha256=hashlib.sha256(raw).hexdigest(),
            bytes_received=len(raw),
            started_at=self._sandbox.clock(),
        )
        self._sandbox.record.arrived(call)
        return call

    def _ended(self, wire: Wire, call: Call) -> None:
        call.status = wire.status
        if call.outcome == "running":
            call.outcome = "failed"
        self._sandbox.record.ended(call, at=self._sandbox.clock())

    async def _answer(
        self,
        wire: Wire,
        call: Call,
        body: dict[str, Any],
        problem: Rejection | None,
        size: int,
        arrived: float,
    ) -> None:
        headers = {"request-id": call.request_id}
        try:
            validate.check_headers(wire.headers)
            if problem is not None:
                raise problem
            validate.check_request(body)
            headers |= self._sandbox.limit_headers(body["model"])
            rule = self._strike(call, body)
            if rule is not None and rule.cuts_at_once(stream=call.stream):
                call.outcome = rule.kind
                await wire.cut()
                return
            reply = await self._reply(body, size, rule)
            # The call is on track to succeed: it is billed in full, even if the client leaves.
            call.usage, call.billed = reply.usage(), reply.billed()
            headers |= self._sandbox.limit_headers(body["model"])
        except Rejection as rejection:
            call.outcome = call.fault or "rejected"
            answer = rejection.body(call.request_id)
            await wire.json(rejection.status, answer, headers | rejection.headers())
            return
        pace = Pace(self._sandbox.settings, arrived)
        if rule is not None and rule.kind is FaultKind.SLOW_FIRST_BYTE:
            await until(asyncio.get_running_loop().time() + rule.seconds)
        await deliver(wire, call, reply, rule, pace, headers)
        if call.outcome == "running":
            call.outcome = call.fault or "completed"

    def _strike(self, call: Call, body: Mapping[str, Any]) -> FaultRule | None:
        structured = tokens.schema_of(body) is not None
        rule = self._sandbox.faults.strike(
            model=body["model"], stream=call.stream, structured=structured
        )
        if rule is not None:
            call.fault = rule.kind
            rejection = rule.rejection()
            if rejection is not None:
                raise rejection
        return rule

    async def _reply(self, body: dict[str, Any], size: int, rule: FaultRule | None) -> Reply:
        prompt = cache.boundaries(body)
        usage = self._sandbox.admit(body["model"], prompt)
        error_rates = self._sandbox.error_rates
        if size > LONG_PROMPT_BYTES:
            # Long prompts take longer: other calls continue in the meantime.
            reply = await asyncio.to_thread(compose, body, usage, rule, error_rates)
        else:
            reply = compose(body, usage, rule, error_rates)
        self._sandbox.produced(body["model"], reply.output_tokens)
        return reply


async def _read(wire: Wire) -> tuple[bytes | None, dict[str, Any], Rejection | None]:
    """Return the raw body (None if the client left), the parsed body, and its problem."""
    raw = b""
    try:
        raw = await wire.body()
        return raw, validate.parse_body(raw), None
    except ClientGone:
        return None, {}, None
    except Rejection as rejection:
        return raw, {}, rejection


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait({task})
