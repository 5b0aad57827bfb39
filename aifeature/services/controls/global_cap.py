"""Logs at boot how much all features together may spend in a day, and why so much."""

from __future__ import annotations

import logging
from threading import Thread

from django.db import Error

from aifeature.services.controls import effective

logger = logging.getLogger(__name__)


def announce() -> None:
    """Log the cap of a day over all features. Without a database, log that it was not read."""
    try:
        found = effective.global_daily()
    except Error as error:
        logger.warning("Global daily cap not read: %s. It is read at the first call.", error)
        return
    logger.info("Global daily cap: %s.", found)


def announce_soon() -> None:
    """Do it in a thread of its own, so that a web process serves at once without a database."""
    Thread(target=announce, name="announce-global-cap", daemon=True).start()
