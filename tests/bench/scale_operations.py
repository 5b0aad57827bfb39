"""`python -m tests.bench.scale_operations`: times operations on the configured database.

Each uses the layer of its caller: the claim that of a worker; polls, lists and admin pages Django's
whole stack, without a network. Prints the median milliseconds as JSON.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from itertools import cycle
from typing import Any

import django

from tests.seed import ADMIN

NAMES = ("claim", "poll", "list", "admin_jobs", "admin_overview")
REPEATS = 100
"""Repetitions of each operation, in each of two rounds."""

PATIENCE_S = 12.0
"""Time limit for the repetitions of one operation."""

WARM_UP = 5


def main() -> None:
    django.setup()
    timed = {name: _median_ms(operation) for name, operation in _operations()}
    sys.stdout.write(json.dumps(timed) + "\n")


def _operations() -> list[tuple[str, Callable[[], Any]]]:
    # These read the settings and the app registry.
    from django.contrib.auth.models import User  # noqa: PLC0415
    from django.db.models.functions import Now  # noqa: PLC0415
    from django.test import Client  # noqa: PLC0415

    from aifeature.models import Job, transitions  # noqa: PLC0415

    newest = list(Job.objects.order_by("-created_at").values_list("id", "user_id")[:200])
    user = User.objects.get(pk=newest[0][1])
    own = cycle(job for job, owner in newest if owner == user.pk)
    queued = Job.objects.bulk_create(
        Job(user=user, feature="summarize", input={}, deadline_at=Now() + timedelta(hours=1))
        for _ in range(REPEATS + WARM_UP)
    )
    waiting = iter(queued)
    reader, staff = Client(), Client()
    reader.force_login(user)
    staff.force_login(User.objects.get(username=ADMIN))

    def get(client: Client, path: str) -> None:
        answer = client.get(path)
        if answer.status_code != 200:
            raise SystemExit(f"{path} answered {answer.status_code}")
        if getattr(answer, "streaming", False):
            raise SystemExit(f"{path} streams")

    def claim() -> None:
        if transitions.claim(next(waiting).pk, worker="bench", lease_s=60) is None:
            raise SystemExit("a due job was not claimed")

    return [
        ("claim", claim),
        ("poll", lambda: get(reader, f"/api/v1/jobs/{next(own)}")),
        ("list", lambda: get(reader, "/api/v1/jobs")),
        ("admin_jobs", lambda: get(staff, "/admin/aifeature/job/")),
        ("admin_overview", lambda: get(staff, "/admin/")),
    ]


def _median_ms(operation: Callable[[], Any]) -> float:
    for _ in range(WARM_UP):
        operation()
    times: list[float] = []
    until = time.perf_counter() + PATIENCE_S
    while len(times) < REPEATS and time.perf_counter() < until:
        begun = time.perf_counter()
        operation()
        times.append((time.perf_counter() - begun) * 1000)
    return statistics.median(times)


if __name__ == "__main__":
    main()
