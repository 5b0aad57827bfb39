"""`manage.py compare_usage FILE`: compare the ledger with the provider's usage export."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connection, transaction

from aifeature.money import exact
from aifeature.services.spend.usage import calls, days, exports
from aifeature.services.spend.usage.calls import Difference, Kind
from aifeature.services.spend.usage.days import DayDifference
from aifeature.services.spend.usage.exports import Call, Days, UnreadableError

SAME, DIFFERS, UNREADABLE = range(3)
"""Exit codes."""


NEXT = {
    Kind.MISSING: "The provider bills these, and the ledger has no row for them: lower today's"
    " budgets by the sum, and keep this list with the incident.",
    Kind.TWICE: "The provider bills one row several times: report it, it should not be possible.",
    Kind.SETTLES: "Settle each in admin, under Attempts, at the amount in the column provider.",
    Kind.WITHIN: "No action is needed. You may settle them at their lower cost.",
    Kind.BILLED: "The provider bills calls that count as failed: keep this list with the incident,"
    " lower today's budgets by the sum, and report it with the error codes of these calls.",
    Kind.ABOVE: "A bound or a ceiling was too low: settle each at the amount in the column"
    " provider, and report it to the owner of workers/inference/pricing.py.",
    Kind.OPEN: "Their jobs run again, and then these calls are unknown: compare again later.",
    Kind.TOKENS: "Check the call in admin, and its request id in the provider's console.",
    Kind.UNSEEN: "The ledger counts calls that were not billed. Settle an unknown one at 0.",
}
"""Next step by kind."""

TOKENS = {
    "input_tokens": "input",
    "output_tokens": "output",
    "cache_read_tokens": "cache read",
    "cache_write_tokens": "cache written",
}


class Command(BaseCommand):
    help = (
        "List where the ledger and the provider's usage export differ. FILE holds single calls as"
        " JSON lines, or the Admin API's usage report by day and model. Changes nothing. Exit code"
        " 0: they agree, 1: they differ, 2: the file cannot be read."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path)
        parser.add_argument(
            "--provider",
            choices=("anthropic", "sandbox"),
            default=settings.AIFEATURE["PROVIDER"],
            help="The provider whose calls to compare. Default: that of this installation.",
        )

    def handle(self, *, file: Path, provider: str, **_: Any) -> None:
        try:
            found = exports.read(file)
        except UnreadableError as error:
            raise CommandError(str(error), returncode=UNREADABLE) from None
        if not found:
            raise CommandError(f"{file} holds no call of a model.", returncode=UNREADABLE)
        with transaction.atomic():
            with connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION READ ONLY")
            if isinstance(found, Days):
                self._days(found, provider)
            else:
                self._calls(found, provider)

    def _calls(self, exported: list[Call], provider: str) -> None:
        compared = calls.compare(exported, provider=provider)
        found = [difference for difference in compared if not difference.explained]
        explained = [difference for difference in compared if difference.explained]
        first, last = min(call.at for call in exported), max(call.at for call in exported)
        self.stdout.write(f"{len(exported)} calls from {_time(first)} to {_time(last)} UTC")
        if found:
            self._table(
                ("what", "started (UTC)", "attempt", "request", "model", "ledger $", "provider $"),
                [_call_cells(difference) for difference in found],
            )
        for kind, count in Counter(difference.kind for difference in [*found, *explained]).items():
            net = sum((d.provider_micro or 0) - d.ledger_micro for d in compared if d.kind == kind)
            self.stdout.write(f"{count} {kind}, {_signed(net)}. {NEXT[kind]}")
        if not found:
            others = " other" if explained else ""
            self.stdout.write(f"The ledger and the provider agree on every{others} one.")
            return
        raise CommandError(f"{len(found)} calls differ.", returncode=DIFFERS)

    def _days(self, exported: Days, provider: str) -> None:
        compared = days.compare(exported, provider=provider)
        found = [difference for difference in compared if not difference.explained]
        self.stdout.write(f"UTC days {exported.first} to {exported.last}")
        if compared:
            self._table(
                ("day (UTC)", "model", "tokens", "settled", "provider", "difference"),
                [cells for difference in compared for cells in _day_cells(difference)],
            )
        for difference in compared:
            self.stdout.write(_day_line(difference))
        if not found:
            others = "other " if compared else ""
            self.stdout.write(f"The ledger and the provider agree on each {others}day and model.")
            return
        self.stdout.write(
            "To find the calls, export the day's single calls if you have them. A call at midnight"
            " may count for either day."
        )
        raise CommandError(f"{len(found)} days and models differ.", returncode=DIFFERS)

    def _table(self, titles: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        table = [titles, *rows]
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        for line in table:
            cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
            self.stdout.write("  ".join(cells).rstrip())


def _call_cells(found: Difference) -> tuple[str, ...]:
    return (
        found.kind,
        _time(found.at),
        str(found.attempt or "-"),
        found.request_id or "-",
        found.model,
        exact(found.ledger_micro),
        "no price" if found.provider_micro is None else exact(found.provider_micro),
    )


def _day_cells(found: DayDifference) -> list[tuple[str, ...]]:
    return [
        (str(found.day), found.model, TOKENS[kind], f"{a:,}", f"{b:,}", f"{b - a:+,}")
        for kind, (a, b) in found.tokens.items()
        if a != b
    ]


def _day_line(found: DayDifference) -> str:
    """Return the possible range by the ledger, and whether the provider's sum is within it."""
    ledger, provider = found.ledger, found.provider_micro
    billed = "no price" if provider is None else f"${exact(provider)}"
    verdict = "explained" if found.explained else "NOT explained"
    return (
        f"{found.day} {found.model}: settled ${exact(ledger.settled_micro)}"
        f" <= provider {billed} <= ${exact(ledger.most_micro)}"
        f" with {ledger.estimated} estimated and {ledger.unknown} unknown or open calls:"
        f" {verdict}, at the rates of short prompts."
    )


def _time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S}"


def _signed(micro: int) -> str:
    return f"{'-' if micro < 0 else '+'}${exact(abs(micro))}"
