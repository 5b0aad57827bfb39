"""Live text of running jobs, from workers to the users who read it.

A worker appends to one Redis stream per job and epoch; each web process reads the streams that its
users have open. Streams may be lost at any time: only the stored result is reliable.

Public: `writer` for workers, `hub`, `cursor` and `shown` for readers, `entries` for erasures.

Size limit: 1,000 lines.
"""

from aifeature.services.streams import cursor, entries, hub, shown, writer

__all__ = ["cursor", "entries", "hub", "shown", "writer"]
