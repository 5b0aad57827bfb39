"""The reconciler, called on a window that is wrong."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Final

from tests.integration.machine.calls import Statement
from tests.integration.machine.view import View

FUNCTION: Final = """
    CREATE FUNCTION fake_clock.misstate_and_reconcile(
        p_scope text, p_key text, p_day date, p_spent bigint, p_held bigint, p_own bigint)
    RETURNS TABLE (
        in_scope text, in_key text, on_day date, spent bigint, held bigint, own bigint)
    LANGUAGE plpgsql AS $$
    BEGIN
        UPDATE public.aifeature_spendwindow w
           SET spent_micro = w.spent_micro + p_spent, held_micro = w.held_micro + p_held,
               own_spend_micro = w.own_spend_micro + p_own
         WHERE w.scope = p_scope AND w.key = p_key AND w.day = p_day;
        RETURN QUERY SELECT * FROM public.aif_reconcile_windows(p_day, true);
    END
    $$
"""
"""One transaction does both, so the wrong window is never committed."""


@dataclass(frozen=True, slots=True)
class Reconcile:
    """Add these micro-dollars to a window, then reconcile."""

    scope: str
    key: str
    day: date
    spent: int
    held: int
    own: int

    def statement(self, now: datetime) -> Statement:
        return (
            "SELECT * FROM fake_clock.misstate_and_reconcile(%s, %s, %s, %s, %s, %s)",
            (self.scope, self.key, self.day, self.spent, self.held, self.own),
        )

    def run(self, view: View) -> object:
        view.write(view.window(self.scope, self.key, self.day))
        drift = (self.scope, self.key, self.day, self.spent, self.held, self.own)
        return [drift] if any(drift[3:]) else []
