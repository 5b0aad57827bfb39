"""What it means that Redis answers a command with an error: it is there, and refuses."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

DOWN: Final = "down"
"""The word for a Redis that does not answer."""

REFUSES: Final = "refuses"
"""The word for an error that is not listed here."""

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
"""By the first word of Redis's answer."""

_SENTENCES: Final[Mapping[str, str]] = MappingProxyType(
    {
        DOWN: "Redis does not answer: look whether it runs and can be reached.",
        "full": "Redis is full and takes no writes: raise its maxmemory or free memory.",
        READ_ONLY: "Redis is a replica, which only reads: point REDIS_URL at the primary.",
        "loading": "Redis is loading its data: it answers when that is done.",
        "cannot_save": "Redis cannot save to its disk, so it takes no writes: look at its disk.",
        "password": "Redis refuses the password: set REDIS_URL to the present one and restart.",
        "no_password": "Redis has no password, and REDIS_URL has one: remove it, or set the same"
        " one for Redis.",
        "permission": "Redis lets the user of REDIS_URL do too little: allow it all commands.",
        WRONG_TYPE: "A key of the queues holds another type of value: somebody else writes to this"
        " Redis. Rename or delete the key.",
        "no_replicas": "Redis has too few replicas to take writes: look at them.",
        "cluster_down": "The Redis cluster is down, or is a cluster, which is not supported.",
        "busy": "Redis is busy with a script of somebody: end it with SCRIPT KILL.",
        "no_connections": "Redis takes no more connections: raise its maxclients.",
        REFUSES: "Redis answers with an error that is not known here: look at its log.",
    }
)

_CODE: Final = re.compile(r"(?:.*caused error: )?([A-Z]{2,})\b", re.DOTALL)


def code(error: Exception) -> str:
    """Return the first word of the answer that an error of redis-py stands for; "" if it has none.

    Nothing else of the text is safe to show: Redis quotes commands, and so does redis-py.
    """
    known = getattr(error, "status_code", None)
    if known:
        return str(known)
    match = _CODE.match(str(error))
    return match[1] if match else ""


def word(error: Exception) -> str:
    """Return the word for what an error of redis-py means, such as `full`."""
    if "max number of clients" in str(error):
        return "no_connections"
    found = code(error)
    return _WORDS.get(found, REFUSES if found else DOWN)


def is_read_only(error: Exception) -> bool:
    """Return whether the server is a replica: after a failover its address may lead elsewhere."""
    return word(error) == READ_ONLY


def sentence(of: str) -> str:
    """Return the sentence for operators: what a word means, and what to do."""
    return _SENTENCES.get(of, _SENTENCES[REFUSES])
