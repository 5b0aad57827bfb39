"""The text of an answer on its way to the people who wait for it, while it is being written.

A worker appends to one Redis stream per job and epoch; each web process reads the streams its
visitors look at. All of it may get lost at any moment: the stored result is what counts.

Public: `writer` for workers, `hub`, `cursor` and `shown` for readers, `entries` for erasures.

Size limit: 1,000 lines.
"""

from aifeature.services.streams import cursor, entries, hub, shown, writer

__all__ = ["cursor", "entries", "hub", "shown", "writer"]
