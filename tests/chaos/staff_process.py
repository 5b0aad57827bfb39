"""`python -m tests.chaos.staff_process`: changes controls as operators do, by the same services.

Each line of input is one JSON object. The output is a line with the times at which the change began
and was in force, by the database's clock. While the database is down the process retries. It ends
with its input.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Final

import django

AGAIN_S: Final = 0.1
REASON: Final = "A trial."


def main() -> None:
    django.setup()
    # These read the settings and the app registry.
    from django.contrib.auth.models import User  # noqa: PLC0415
    from django.db import Error, connection  # noqa: PLC0415

    from aifeature.models import KillMode, RateOverride  # noqa: PLC0415
    from aifeature.services.controls import effective, switch  # noqa: PLC0415
    from tests.seed import ADMIN  # noqa: PLC0415

    person = User.objects.get(username=ADMIN).pk

    def stop(slug: str, mode: str) -> None:
        switch.stop(slug, reason=REASON, mode=KillMode(mode), user_id=person)

    def release(slug: str, percent: int) -> None:
        switch.release(slug, reason=REASON, user_id=person, percent=percent)

    def budget(slug: str, values: Mapping[str, str]) -> None:
        usd = {name: Decimal(value) for name, value in values.items()}
        effective.change(slug, usd, reason=REASON, user_id=person)

    def rates(users: list[int], values: Mapping[str, Any]) -> None:
        RateOverride.objects.bulk_create(
            RateOverride(user_id=user, reason=REASON, created_by_id=person, **values)
            for user in users
        )

    def clock() -> float:
        with connection.cursor() as cursor:
            cursor.execute("SELECT extract(epoch FROM clock_timestamp())::float8")
            return float(cursor.fetchone()[0])

    actions: dict[str, Callable[..., None]] = {
        action.__name__: action for action in (stop, release, budget, rates)
    }

    def done(action: str, **facts: Any) -> tuple[float, float]:
        begun = None
        while True:
            try:
                begun = clock() if begun is None else begun
                connection.close()  # a request or a command begins without one
                actions[action](**facts)
                return begun, clock()
            except Error as error:
                sys.stderr.write(f"staff: {action}: {error}\n")
                time.sleep(AGAIN_S)
            finally:
                connection.close()

    for line in sys.stdin:
        sys.stdout.write(json.dumps(done(**json.loads(line))) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
