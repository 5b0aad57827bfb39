"""The background thread of this process's periodic work: dispatcher, keeper, stream writer.

Public: `Loop`.

Size limit: 150 lines.
"""

from aifeature.services.background.loop import Loop

__all__ = ["Loop"]
