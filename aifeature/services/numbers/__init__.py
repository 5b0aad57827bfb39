"""The six numbers of each feature, and the sums from which they are computed.

Public: the modules below.

Size limit: 1,500 lines.
"""

from aifeature.services.numbers import (
    audits,
    costs,
    readings,
    rollup,
    series,
    six,
    sums,
    windows,
)

__all__ = [
    "audits",
    "costs",
    "readings",
    "rollup",
    "series",
    "six",
    "sums",
    "windows",
]
