"""`python -m tests.bench.seed`: migrates the database and makes users, tokens and budgets.

Prints one JSON line: the ids of the users and their API tokens.
"""

from __future__ import annotations

import json
import sys
from decimal import Decimal
from itertools import islice

import django

USERS = 200
BUDGET = Decimal(1_000_000)
"""US dollars a day: no bench is to be stopped by a cap, yet each call is held against one."""

ADMIN = "bench-admin"


def main() -> None:
    """Set the database up."""
    django.setup()
    # Only now: these read the settings and the app registry.
    from django.contrib.auth.models import User  # noqa: PLC0415
    from django.core.management import call_command  # noqa: PLC0415

    from aifeature.models import ApiToken, Stage  # noqa: PLC0415
    from aifeature.services import control  # noqa: PLC0415

    call_command("migrate", interactive=False, verbosity=0)
    User.objects.create_superuser(ADMIN)
    User.objects.bulk_create(User(username=f"bench{n}", password="!") for n in range(USERS))
    users = list(islice(User.objects.filter(is_staff=False).order_by("pk").iterator(), USERS))
    tokens = [ApiToken.issue(user_id=user.pk, name="bench")[1] for user in users]
    opened = {
        "stage": Stage.EVERYONE,
        "daily_budget_usd": BUDGET,
        "user_daily_budget_usd": BUDGET,
    }
    control.change("summarize", opened, reason="Opened for a bench.", check_name="bench")
    sys.stdout.write(json.dumps({"users": [user.pk for user in users], "tokens": tokens}) + "\n")


if __name__ == "__main__":
    main()
