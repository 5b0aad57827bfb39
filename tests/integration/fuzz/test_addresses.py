"""No address, method, query, header or cookie makes the site fail, for any visitor."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
from django.db.models import Model
from hypothesis import example, given, note
from hypothesis import strategies as st

from tests.integration.fuzz.asgi import Site, Visit
from tests.integration.fuzz.conftest import VISITORS, Header, Visitors
from tests.integration.fuzz.places import Place, known_values, places
from tests.integration.fuzz.values import query, thorough, values

PLACES = places()
METHODS = (
    *("GET", "GET", "GET", "POST", "POST", "HEAD", "OPTIONS", "PUT", "PATCH", "DELETE", "TRACE"),
    *("BREW", "get"),
)
PARAMETERS = (
    *("q", "p", "o", "e", "all", "s", "page", "extended", "next", "from", "part", "older", "newer"),
    *("cursor", "limit", "wait", "seen", "feature", "status", "term", "app_label", "model_name"),
    *("field_name", "_popup", "_to_field", "_changelist_filters", "out_of_date", "reason"),
)
HEADERS = (
    *("accept", "accept-language", "authorization", "content-type", "cookie", "idempotency-key"),
    *("if-modified-since", "if-none-match", "last-event-id", "origin", "range", "referer"),
    *("user-agent", "x-csrftoken", "x-forwarded-proto", "x-requested-with", "hx-request"),
    *("hx-current-url", "hx-target", "hx-trigger", "hx-boosted", "triggering-event"),
)
CONTENT_TYPES = (
    "application/x-www-form-urlencoded",
    "application/x-www-form-urlencoded; charset=utf-16",
    "application/json",
    "application/json; charset=utf-7",
    "multipart/form-data",
    "multipart/form-data; boundary=b",
    "multipart/form-data; boundary=b; charset=base64",
    "multipart/form-data; boundary=b; charset=raw_unicode_escape",
    "multipart/form-data; boundary=" + "b" * 300,
    "multipart/form-data; boundary=b; a*=nothing''x",
    "text/plain; charset=nothing",
    "text/plain; charset*=nothing''x",
    "text/plain; charset*=undefined''x",
    "text/plain; charset*0*=x; charset*1=y",
    "text/plain; a*2=x; a*=",
    ";;;",
)
PARTS = (
    b'--b\r\nContent-Disposition: form-data; name="q"\r\n\r\nx\r\n--b--\r\n',
    b'--b\r\nContent-Disposition: form-data; name="q"\r\n\r\n\\ud800\\u0000\r\n--b--\r\n',
    b'--b\r\nContent-Disposition: form-data; name="f"; filename="\0/.."\r\n\r\nx\r\n--b--\r\n',
    b"--b\r\nContent-Disposition: form-data; name*=utf-7''+AAA-\r\n\r\nx\r\n--b--\r\n",
    b"--b\r\nContent-Disposition: form-data; name*=nothing''q\r\n\r\nx\r\n--b--\r\n",
    b'--b\r\nContent-Disposition: form-data; name="q"; a*2=x; a*=\r\n\r\nx\r\n--b--\r\n',
    (
        b"--b\r\nContent-Transfer-Encoding: base64\r\n"
        b'Content-Disposition: form-data; name="q"\r\n\r\n=a=\r\n--b--'
    ),
    b"--b\r\nContent-Disposition: form-data\r\n\r\n",
    b"--b" * 1_000,
    b"\xff\xfe\x00",
)

pairs = st.lists(st.tuples(st.sampled_from(PARAMETERS) | values, values), max_size=4)
"""Of a query or a form; names may repeat."""


@st.composite
def _cookies(draw: st.DrawFn) -> bytes:
    """Cookies as a client may spell them: quoted ones may have octal escapes."""
    name = draw(st.sampled_from(("sessionid", "csrftoken", "staff_browser", "messages")))
    text = draw(st.just("a" * 31) | st.just("")) + draw(values)
    escaped = "".join(f"\\{ord(c):03o}" if ord(c) < 256 and not c.isalnum() else c for c in text)
    return _header(draw(st.sampled_from((f"{name}={text}", f'{name}="{escaped}"', text))))


def _header(text: str) -> bytes:
    """As a server passes it on: without the control characters that it refuses."""
    raw = text.encode("utf-8", "surrogatepass")[:8_000]
    return bytes(byte for byte in raw if byte >= 32 and byte != 127)


@st.composite
def _headers(draw: st.DrawFn) -> list[Header]:
    found = []
    for name in draw(st.lists(st.sampled_from(HEADERS), max_size=3, unique=True)):
        match name:
            case "content-type":
                value = draw(st.sampled_from(CONTENT_TYPES)).encode()
            case "cookie":
                value = draw(_cookies())
            case _:
                value = _header(draw(values))
        found.append((name.encode(), value))
    return found


@st.composite
def _paths(draw: st.DrawFn, rows: list[Model]) -> str:
    place: Place = draw(st.sampled_from(PLACES))
    known = known_values(place, rows)
    return place.path([draw(st.sampled_from(texts) | values) for texts in known])


@thorough(150)
@given(data=st.data())
def test_no_address_and_no_header_breaks_the_site(
    site: Site, visitors: Visitors, rows: list[Model], data: Any
) -> None:
    path = (
        data.draw(_paths(rows))
        if data.draw(st.integers(0, 9))
        else "/" + query([(data.draw(values), "")])
    )
    target = f"{path}?{query(data.draw(pairs))}"
    method = data.draw(st.sampled_from(METHODS))
    headers = {
        **dict(visitors[data.draw(st.sampled_from(VISITORS))]),
        **dict(data.draw(_headers())),
    }
    body = b""
    if method not in {"GET", "HEAD"}:
        body = data.draw(
            st.sampled_from(PARTS) | st.binary(max_size=50) | pairs.map(lambda p: query(p).encode())
        )
        headers[b"content-length"] = str(len(body)).encode()
        headers.setdefault(b"content-type", data.draw(st.sampled_from(CONTENT_TYPES)).encode())
    answer = site.visit(Visit(target.encode(), method, list(headers.items()), body))
    note(f"{method} {target[:500]} {headers} {body[:200]!r}")
    assert answer.is_fine, answer


@thorough(60)
@given(
    cookie=_cookies(), path=st.sampled_from(("/", "/accounts/login/", "/admin/", "/api/v1/jobs"))
)
@example(cookie=b'sessionid="' + b"a" * 31 + b'\\000"', path="/jobs/")
def test_no_cookie_breaks_a_page(site: Site, rows: list[Model], cookie: bytes, path: str) -> None:
    answer = site.visit(Visit(path.encode(), headers=[(b"cookie", cookie)]))
    assert answer.is_fine, answer


def test_no_encoding_breaks_a_page(site: Site, visitors: Visitors) -> None:
    for kind, part in product(CONTENT_TYPES, PARTS):
        length = (b"content-length", str(len(part)).encode())
        headers = [*visitors["anonymous"], (b"content-type", kind.encode()), length]
        answer = site.visit(Visit(b"/accounts/login/", "POST", headers, part))
        assert answer.is_fine, (kind, part, answer)


@pytest.mark.timeout(600)
def test_no_parameter_breaks_a_page(site: Site, visitors: Visitors, rows: list[Model]) -> None:
    """Every page without a hole in its address, with every parameter that any page reads."""
    for place in (place for place in PLACES if not place.holes):
        for value in ("x", "[", "9" * 40, "a\0b"):
            target = f"{place.path(())}?{query([(name, value) for name in PARAMETERS])}"
            answer = site.visit(Visit(target.encode(), headers=visitors["boss"]))
            assert answer.is_fine, (target, answer)
