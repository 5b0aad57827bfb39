"""Access of users to features: stage, beta, hold-out, blocks, and why each user is let in or not.

Public: the functions and classes below, `beta` (join and leave), `blocks` (block a user) and
`people` (find a user).

Size limit: 750 lines.
"""

from aifeature.services.access import beta, blocks, people
from aifeature.services.access.environment import narrowing
from aifeature.services.access.explaining import Explanation, explain
from aifeature.services.access.gates import block_of, is_blocked, is_visible, visible
from aifeature.services.access.reach import audience, total
from aifeature.services.access.renaming import RenamingError, rename

__all__ = [
    "Explanation",
    "RenamingError",
    "audience",
    "beta",
    "block_of",
    "blocks",
    "explain",
    "is_blocked",
    "is_visible",
    "narrowing",
    "people",
    "rename",
    "total",
    "visible",
]
