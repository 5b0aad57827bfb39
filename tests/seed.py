"""`python -m tests.seed USERS BUDGET`: migrate the database, create users, tokens and budgets.

It prints one JSON line: the ids of the users and their API tokens.
"""

from __future__ import annotations

import json
import sys
from decimal import Decimal
from itertools import islice

import django

FEATURE_BUDGET = Decimal(1_000_000)
"""US dollars a day. It stops no call, but each call is compared with it."""

ADMIN = "seed-admin"


def main() -> None:
    """Set the database up. BUDGET is each user's cap on charges per day, in US dollars."""
    count, budget = int(sys.argv[1]), Decimal(sys.argv[2])
    django.setup()
    # Imported here, since these read the settings and the app registry.
    from django.contrib.auth.models import User  # noqa: PLC0415
    from django.core.management import call_command  # noqa: PLC0415

    from aifeature.models import ApiToken, Stage  # noqa: PLC0415
    from aifeature.services.controls import effective  # noqa: PLC0415
    from project import loading  # noqa: PLC0415
    from tests import proof  # noqa: PLC0415

    with loading.uncollected():
        call_command("migrate", interactive=False, verbosity=0)
    User.objects.create_superuser(ADMIN)
    User.objects.bulk_create(User(username=f"user{n}", password="!") for n in range(count))
    users = list(islice(User.objects.filter(is_staff=False).order_by("pk").iterator(), count))
    tokens = [ApiToken.issue(user_id=user.pk, name="seed")[1] for user in users]
    opened = {
        "stage": Stage.EVERYONE,
        "daily_budget_usd": FEATURE_BUDGET,
        "user_daily_budget_usd": budget,
        "requests_per_minute": Decimal(99_999),
        "tokens_per_minute": 2_000_000_000,
        "user_in_flight": 1_000,
    }
    proof.activate("summarize")
    effective.change("summarize", opened, reason="Opened for a test.", check_name="seed")
    sys.stdout.write(json.dumps({"users": [user.pk for user in users], "tokens": tokens}) + "\n")


if __name__ == "__main__":
    main()
