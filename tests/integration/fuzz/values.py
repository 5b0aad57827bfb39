"""Values that some layer between a browser and PostgreSQL refuses."""

from __future__ import annotations

import os
from typing import Final
from urllib.parse import quote

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

TIMES: Final = int(os.environ.get("FUZZ_TIMES", "1"))
"""Factor for the number of examples; above 1 for a long run."""

SHARP: Final = (
    *("", " ", "\0", "a\0b", "%00", "\ud800", "\udfff\ud800", "\u2028", "\u202e", "\ufeff", "🎉"),
    *("0", "1", "-1", "1.5", "-0", "1_0", "١٢٣", "1e400", "nan", "inf", "-Infinity", "0x10"),
    *("32768", "2147483648", "9223372036854775808", "-9223372036854775809", "9" * 40, "9" * 5_000),
    *("2026-11-28", "2026-13-45", "0000-00-00", "0001-01-01", "9999-12-31", "99999-01-01"),
    *("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "2026-11-28T10:00:00", "24:00"),
    *("True", "false", "null", "None", "[1]", "[]", "{}", '{"a": "\\u0000"}', '{"a":' * 400, "[[["),
    *("(", "[", "*", "\\", "%", "'", '"', "--", "a,b", "1,\0", "<b>", "{{x}}", "${x}", "../.."),
    "//e",
    *("http://[", "http://a:b@c:99999999/", "javascript:x", "00000000-0000-0000-0000-000000000000"),
    *("a" * 151, "a" * 256, "é" * 256),
    "a" * 100_000,
)
"""One value of each kind, in addition to generated ones."""

values: Final = st.one_of(
    st.sampled_from(SHARP),
    st.text(max_size=20),
    st.integers().map(str),
    st.builds(lambda letter, times: letter * times, st.characters(), st.sampled_from((150, 256))),
)


def thorough(examples: int) -> settings:
    """Return settings for a test whose examples share rows and undo their writes."""
    return settings(
        max_examples=examples * TIMES,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )


def encoded(text: str, safe: str = "") -> str:
    """Percent-encode. Half a surrogate pair becomes invalid UTF-8."""
    return quote(text.encode("utf-8", "surrogatepass"), safe=safe)


def query(pairs: list[tuple[str, str]]) -> str:
    """Return a query string or the body of a form. Names may repeat."""
    return "&".join(f"{encoded(name)}={encoded(value)}" for name, value in pairs)
