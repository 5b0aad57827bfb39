"""Run one real job over HTTP, as the browser of a signed-in user does."""

from __future__ import annotations

import json
import time
import uuid
from typing import TYPE_CHECKING, Any

import httpx2

from project.stack.console import complain, say
from project.stack.local_dir import CHECKOUT
from project.stack.secrets import API_USER, STAFF

if TYPE_CHECKING:
    from collections.abc import Mapping

    from project.stack.supervisor import Tick

FEATURE = "summarize"
DOCUMENT = CHECKOUT / "ARCHITECTURE.md"
LIMIT_S = 120.0
HTTP_S = 15.0
TICK_S = 2
"""Seconds of one poll. A signal or a death has an effect after it."""

ENDED = frozenset({"succeeded", "failed", "cancelled", "rejected", "needs_approval"})


class DemoError(Exception):
    """A step of the demo failed. The message names the step and the reason."""


def run_demo(base_url: str, passwords: Mapping[str, str], tick: Tick) -> int:
    """Submit this repository's ARCHITECTURE.md for a summary, and print each step.

    A normal user does it, or staff while the feature has no evidence.

    Args:
        base_url: The address of the web component, with a final slash.
        passwords: By demo user, the password.
        tick: Called between requests. It raises when the stack must end.

    Returns:
        0 if the job succeeded, else 1.
    """
    say()
    try:
        return _first_who_may(base_url, passwords, tick)
    except DemoError as error:
        complain(f"demo: {error}")
    except httpx2.HTTPError as error:
        tick()  # reports a dead component instead, if there is one
        complain(f"demo: the web component does not answer as it should ({error!r})")
    return 1


def _first_who_may(base_url: str, passwords: Mapping[str, str], tick: Tick) -> int:
    for user in (API_USER, STAFF):
        with httpx2.Client(base_url=base_url, timeout=HTTP_S, trust_env=False) as client:
            sign_in(client, user, passwords[user])
            if _may_use(client):
                return _demo(client, user, tick)
    raise DemoError(f"no demo user may use {FEATURE}: open it in admin, under Features")


def _may_use(client: httpx2.Client) -> bool:
    answer = client.get("/api/v1/features")
    _expect(answer, 200, "listing the features")
    return any(feature["slug"] == FEATURE for feature in answer.json()["items"])


def _demo(client: httpx2.Client, user: str, tick: Tick) -> int:
    try:
        document = DOCUMENT.read_text(encoding="utf-8")
    except OSError as error:
        raise DemoError(f"cannot read {DOCUMENT}: {error.strerror}") from None
    size = len(document.encode())
    say(f"demo: {user} asks for a summary of {DOCUMENT.name} ({size:,} bytes)")
    begun = time.monotonic()
    where = _submit(client, document, begun)
    job = _follow(client, where, begun, tick)
    _show(job)
    return 0 if job["status"] == "succeeded" else 1


def sign_in(client: httpx2.Client, user: str, password: str) -> None:
    """Sign in with the login form.

    Raises:
        DemoError: the form did not accept it.
    """
    form = client.get("/accounts/login/")
    _expect(form, 200, "the login form")
    fields = {"username": user, "password": password, "csrfmiddlewaretoken": _token(client)}
    origin = {"Origin": str(client.base_url).rstrip("/")}
    answer = client.post("/accounts/login/", data=fields, headers=origin)
    _expect(answer, 302, f"signing in as {user}")


def _token(client: httpx2.Client) -> str:
    """Return the CSRF token. The name of its cookie has a suffix for each checkout."""
    found = (c.value for c in client.cookies.jar if c.name.startswith("csrftoken"))
    return next(found, None) or ""


def _submit(client: httpx2.Client, document: str, begun: float) -> str:
    answer = client.post(
        f"/api/v1/features/{FEATURE}/jobs",
        json={"input": {"document": document}},
        headers={
            "X-CSRFToken": _token(client),
            "Origin": str(client.base_url).rstrip("/"),
            "Idempotency-Key": f"demo:{uuid.uuid4()}",  # no step of the tour
        },
    )
    _expect(answer, 202, "submitting the job")
    say(f"  {time.monotonic() - begun:6.2f} s  {answer.json()['status']}")
    return answer.headers["location"]


def _follow(client: httpx2.Client, where: str, begun: float, tick: Tick) -> dict[str, Any]:
    """Poll until the job has ended, and print each new status."""
    seen = "queued"  # the status in the answer to the submission
    while time.monotonic() - begun < LIMIT_S:
        tick()
        answer = client.get(where, params={"wait": TICK_S, "seen": seen})
        _expect(answer, 200, "asking for the job")
        job: dict[str, Any] = answer.json()
        if job["status"] != seen:
            seen = job["status"]
            say(f"  {time.monotonic() - begun:6.2f} s  {seen}")
        if seen in ENDED:
            return job
    raise DemoError(f"the job is still {seen} after {LIMIT_S:.0f} s")


def _show(job: dict[str, Any]) -> None:
    say()
    if job.get("error"):
        say(f"error           {job['error'].get('code')}: {job['error'].get('message')}")
    result = job.get("result")
    for name, value in result.items() if isinstance(result, dict) else ():
        if isinstance(value, list):
            say(f"{name}:")
            for item in value:
                say(f"  - {item}")
        else:
            say(f"{name + ':':<15} {value}")
    say()
    usage = job.get("usage") or {}
    tokens = ", ".join(f"{name.removesuffix('_tokens')} {count}" for name, count in usage.items())
    for name, shown in (
        ("model", job.get("model")),
        ("prompt version", job.get("prompt_version")),
        ("tokens", tokens),
        ("cost", f"{job.get('cost_usd')} USD"),
    ):
        say(f"{name:<15} {shown}")


def _expect(answer: httpx2.Response, status: int, what: str) -> None:
    if answer.status_code == status:
        return
    try:
        reason = json.dumps(answer.json())
    except ValueError:
        reason = " ".join(answer.text.split())[:200]
    raise DemoError(f"{what}: HTTP {answer.status_code} instead of {status}: {reason}")
