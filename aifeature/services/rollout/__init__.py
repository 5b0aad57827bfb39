"""Roll-out in steps: ramps, canaries, the health they depend on, and the reach of a change.

Public: the modules below.

Size limit: 2,000 lines.
"""

from aifeature.services.rollout import canaries, check, health, impact, ramps

__all__ = ["canaries", "check", "health", "impact", "ramps"]
