"""Everything that the system stores, as texts by place."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Collection, Iterator
from typing import Any, Final

import redis
from django.contrib.sessions.backends.db import SessionStore
from django.db import connection

Text = tuple[str, str]
"""A place, such as `table.column` or a key of Redis, and a text in it."""

_OWN_DATA: Final = {
    f"auth_user.{column}" for column in ("username", "email", "first_name", "last_name")
}
"""Columns with an account's own data, which the account holder or an administrator entered."""


def writes() -> dict[str, int]:
    """Return the number of rows that this transaction wrote, by table. It only grows."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT relname, n_tup_ins + n_tup_upd FROM pg_stat_xact_user_tables")
        return dict(cursor.fetchall())


def of_tables(names: Collection[str] = ()) -> set[Text]:
    """Return each value of each column of these tables, or of all."""
    names = names or connection.introspection.table_names()
    each = (f"SELECT '{name}', row_to_json(t)::text FROM \"{name}\" t" for name in names)  # noqa: S608
    with connection.cursor() as cursor:
        cursor.execute(" UNION ALL ".join(each))
        rows = cursor.fetchall()
    return {text for table, row in rows for text in _columns(table, json.loads(row))}


def _columns(table: str, row: dict[str, Any]) -> Iterator[Text]:
    if table == "django_session":
        row["session_data"] = SessionStore().decode(row["session_data"])
    for column, value in row.items():
        if value and f"{table}.{column}" not in _OWN_DATA:
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            yield f"{table}.{column}", text


def of_redis(url: str) -> set[Text]:
    """Return each key with its value. Bodies of broker messages are decoded."""
    client = redis.Redis.from_url(url, protocol=2)
    try:
        return {(_text(key), _value(client, key)) for key in client.scan_iter("*", count=1_000)}
    finally:
        client.close()


def _value(client: Any, key: bytes) -> str:
    match client.type(key):
        case b"string":
            found = [client.get(key) or b""]
        case b"list":
            found = client.lrange(key, 0, -1)
        case b"set":
            found = list(client.smembers(key))
        case b"zset":
            found = client.zrange(key, 0, -1)
        case b"hash":
            found = [part for pair in client.hgetall(key).items() for part in pair]
        case b"stream":
            entries = client.xrange(key)
            found = [part for _, entry in entries for pair in entry.items() for part in pair]
        case kind:
            raise AssertionError(f"{key!r} is a {kind!r}: read it here too")
    return "\n".join([_text(key), *map(_decoded, found)])


def _decoded(raw: bytes) -> str:
    text = _text(raw)
    try:
        body = json.loads(text)["body"]
        return f"{text}\n{_text(base64.b64decode(body))}"
    except (ValueError, TypeError, KeyError, binascii.Error):
        return text


def _text(raw: bytes) -> str:
    return raw.decode(errors="replace")
