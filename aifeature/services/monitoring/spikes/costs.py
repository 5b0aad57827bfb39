"""What a call of the ledger counts for in the rules: SQL over `aifeature_attempt a`.

Spend that a provider's outage leaves behind at its ceilings may never be billed: it counts against
caps, and neither throttles nor stops anybody. What a user leaves behind by cancelling does count:
they cause it.
"""

from __future__ import annotations

from typing import Final

SPEND: Final = """CASE WHEN a.state IN ('started', 'unknown') THEN a.bound_micro
                ELSE a.cost_micro END"""
"""As the windows count it."""

PHANTOM: Final = f"""CASE WHEN a.state = 'started'
                  OR a.state IN ('estimated', 'unknown') AND NOT a.own_spend
                THEN {SPEND} ELSE 0 END"""
"""Of it at a ceiling. A call under way counts once it has ended: its bound is no spend yet."""
