"""The log line about the global daily cap at boot."""

from __future__ import annotations

import logging
from threading import Thread

from django.db import Error

from aifeature.services.controls import effective

logger = logging.getLogger(__name__)


def announce() -> None:
    """Log the cap and its source, or a warning if the database cannot be read."""
    try:
        cap = effective.global_daily()
    except Error as error:
        logger.warning("Global daily cap not read: %s. It is read at the first call.", error)
        return
    logger.info("Global daily cap: %s.", cap)


def announce_soon() -> None:
    """Announce in a separate thread, so a web process starts even if the database is down."""
    Thread(target=announce, name="announce-global-cap", daemon=True).start()
