"""The task `control.alerts`: ends silences, escalates, and delivers."""

from __future__ import annotations

from typing import Final

from aifeature.models.functions import database_now
from aifeature.services.alerting.check_runs import Found
from aifeature.services.channels import deliveries, health, later, register

TASK: Final = "control.alerts"


def check() -> Found:
    """Send what is due to channels. A channel that fails has an alert of its own."""
    now = database_now()
    register.renew()
    released, escalated = later.release(now), later.escalate(now)
    found = deliveries.deliver()
    down = health.report_down(database_now())
    return Found(
        ok=True,
        result=f"{found.sent} messages were sent, {found.failed} tries failed.",
        figures={
            "channels_down": down,
            "sent": found.sent,
            "failed": found.failed,
            "released": released,
            "escalated": escalated,
        },
    )
