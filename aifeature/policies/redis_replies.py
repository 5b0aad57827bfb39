"""Meanings of the errors with which a reachable Redis refuses a command."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

DOWN: Final = "down"
"""Word for a Redis that does not answer."""

REFUSES: Final = "refuses"
"""Word for an error that is not listed here."""

READ_ONLY: Final = "read_only"
WRONG_TYPE: Final = "wrong_type"

_WORDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "OOM": "full",
        "READONLY": READ_ONLY,
        "UNBLOCKED": READ_ONLY,
        "MASTERDOWN": READ_ONLY,
        "LOADING": "loading",
        "MISCONF": "cannot_save",
        "NOAUTH": "password",
        "WRONGPASS": "password",
        "AUTH": "no_password",
        "NOPERM": "permission",
        "WRONGTYPE": WRONG_TYPE,
        "NOREPLICAS": "no_replicas",
        "CLUSTERDOWN": "cluster_down",
        "BUSY": "busy",
    }
)
"""Words by the first word of Redis's reply."""

_SENTENCES: Final[Mapping[str, str]] = MappingProxyType(
    {
        DOWN: "Redis does not answer: check that it runs and can be reached.",
        "full": "Redis is full and takes no writes: raise its maxmemory or free memory.",
        READ_ONLY: "Redis is a replica, which only reads: point REDIS_URL at the primary.",
        "loading": "Redis is loading its data: it answers when that is done.",
        "cannot_save": "Redis cannot save to its disk, so it takes no writes: check its disk.",
        "password": "Redis refuses the password: set REDIS_URL to the current one and restart.",
        "no_password": "Redis has no password, and REDIS_URL has one: remove it, or set the same"
        " one for Redis.",
        "permission": "Redis denies commands to the user of REDIS_URL: allow it all commands.",
        WRONG_TYPE: "A key of the queues holds another type of value: another program writes to"
        " this Redis. Rename or delete the key.",
        "no_replicas": "Redis has too few replicas to take writes: check them.",
        "cluster_down": "The Redis cluster is down, or is a cluster, which is not supported.",
        "busy": "Redis is busy with a script: end it with SCRIPT KILL.",
        "no_connections": "Redis takes no more connections: raise its maxclients.",
        REFUSES: "Redis answers with an unknown error: read its log.",
    }
)

_CODE: Final = re.compile(r"(?:.*caused error: )?([A-Z]{2,})\b", re.DOTALL)


def code(error: Exception) -> str:
    """Return the error code of a redis-py error, or "" if it has none.

    The rest of the text must not be shown: Redis and redis-py quote commands in it.
    """
    known = getattr(error, "status_code", None)
    if known:
        return str(known)
    match = _CODE.match(str(error))
    return match[1] if match else ""


def word(error: Exception) -> str:
    """Return the word for a redis-py error, such as `full`."""
    if "max number of clients" in str(error):
        return "no_connections"
    found = code(error)
    return _WORDS.get(found, REFUSES if found else DOWN)


def is_read_only(error: Exception) -> bool:
    """Return whether the server is a replica. After a failover, its address may have moved."""
    return word(error) == READ_ONLY


def sentence(of: str) -> str:
    """Return the sentence for operators: the meaning of a word, and the next step."""
    return _SENTENCES.get(of, _SENTENCES[REFUSES])
