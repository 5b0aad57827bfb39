"""The thread for periodic work of a process: dispatcher, keeper, stream writer.

Public: `Loop`.

Size limit: 150 lines.
"""

from aifeature.services.background.loop import Loop

__all__ = ["Loop"]
