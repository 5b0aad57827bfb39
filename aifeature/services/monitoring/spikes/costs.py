"""Cost of a call in the spike rules: SQL over `aifeature_attempt a`.

Phantom spend, as after an outage, may never be billed: caps count it, the spike rules do not. They
do count calls that the user cancelled, since the user causes that spend.
"""

from __future__ import annotations

from typing import Final

SPEND: Final = """CASE WHEN a.state IN ('started', 'unknown') THEN a.bound_micro
                ELSE a.cost_micro END"""
"""Cost as counted by the spend windows."""

PHANTOM: Final = f"""CASE WHEN a.state = 'started'
                  OR a.state IN ('estimated', 'unknown') AND NOT a.own_spend
                THEN {SPEND} ELSE 0 END"""
"""The phantom part. It includes calls in flight, whose bound is no spend until they end."""
