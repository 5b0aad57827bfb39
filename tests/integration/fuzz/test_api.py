"""No submission makes the API fail, and no refusal repeats invented field names."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

from django.db.models import Model
from hypothesis import given, note
from hypothesis import strategies as st

from tests.integration.fuzz.asgi import Answer, Site, Visit
from tests.integration.fuzz.conftest import Header, Visitors
from tests.integration.fuzz.values import thorough, values
from tests.made_models import NUMBERS

SUBMIT = b"/api/v1/features/summarize/jobs"
JSON = (b"content-type", b"application/json")

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | values,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(values, inner, max_size=3),
    max_leaves=8,
)
submissions = st.one_of(
    st.builds(lambda text: {"input": {"document": text}}, json_values),
    st.builds(
        lambda more: {"input": {"document": "text", **more}}, st.dictionaries(values, values)
    ),
    st.builds(lambda found: {"input": found}, json_values),
    json_values,
)

bodies = st.one_of(
    submissions.map(json.dumps),
    st.builds('{{"input": {{"document": "text", "more": {}}}}}'.format, NUMBERS),
)


def sent(site: Site, headers: list[Header], body: bytes, *more: Header) -> Answer:
    """Submit these bytes."""
    length = (b"content-length", str(len(body)).encode())
    return site.visit(Visit(SUBMIT, "POST", [*headers, JSON, length, *more], body))


@thorough(150)
@given(data=st.data())
def test_submissions_never_fail(
    site: Site, visitors: Visitors, rows: list[Model], data: Any
) -> None:
    body = data.draw(bodies).encode()
    if data.draw(st.integers(0, 4)) == 0:
        cut, more = data.draw(st.integers(0, len(body))), data.draw(st.binary(max_size=10))
        body = body[:cut] + more + body[cut:]
    key = data.draw(values).encode("latin1", "replace")[:300]
    more_headers = [(b"idempotency-key", bytes(b for b in key if b >= 32))]
    note(f"{body[:1000]!r}")
    answer = sent(site, visitors["user"], body, *more_headers[: data.draw(st.integers(0, 1))])
    assert answer.is_fine, (answer, answer.body[:500])


@thorough(60)
@given(name=st.text(min_size=6, max_size=300))
def test_no_name_is_repeated(site: Site, visitors: Visitors, rows: list[Model], name: str) -> None:
    marked = f"MARK{name}"
    bodies = (
        {"input": {"document": "x", marked: 1}},
        {"input": {"document": {marked: 1}}},
        {"input": {"document": [{marked: "\ud800"}]}},
        {marked: 1},
    )
    for body in bodies:
        answer = sent(site, visitors["user"], json.dumps(body).encode())
        assert answer.status == 422
        assert b"MARK" not in answer.body
    target = f"/api/v1/jobs?limit=x&{quote(marked, errors='replace')}=1".encode()
    assert b"MARK" not in site.visit(Visit(target, headers=visitors["user"])).body


def _document(pairs: list[tuple[str, Any]]) -> str:
    return "{" + ", ".join(f"{json.dumps(name)}: {value}" for name, value in pairs) + "}"


@thorough(60)
@given(
    name=values,
    between=st.lists(st.sampled_from(("a", "b", "c")), unique=True),
    depth=st.integers(0, 4),
)
def test_a_name_that_comes_twice_in_an_object_is_refused(
    site: Site,
    visitors: Visitors,
    rows: list[Model],
    name: str,
    between: list[str],
    depth: int,
) -> None:
    twice = _document([(name, 1), *((other, 2) for other in between if other != name), (name, 1)])
    for _ in range(depth):
        twice = _document([("document", f"[{twice}]")])
    for body in (_document([("input", twice)]), twice):
        answer = sent(site, visitors["user"], body.encode())
        assert answer.status == 422, (body[:300], answer.body)
        assert b"twice" in answer.body


INVISIBLE = st.text(
    st.characters(
        categories=("Cc", "Cf", "Cn", "Co", "Mn", "Zl", "Zp", "Zs"), exclude_characters="\0"
    )
    | st.sampled_from("\u115f\u1160\u2800\u3164\uffa0"),
    min_size=1,
)


@thorough(100)
@given(text=INVISIBLE)
def test_an_invisible_document_is_refused(
    site: Site, visitors: Visitors, rows: list[Model], text: str
) -> None:
    answer = sent(site, visitors["user"], json.dumps({"input": {"document": text}}).encode())
    assert answer.status == 422


@thorough(50)
@given(
    text=INVISIBLE,
    letter=st.characters(
        categories=("L", "N", "P", "S"), exclude_characters="\u115f\u1160\u2800\u3164\uffa0"
    ),
)
def test_one_visible_character_is_a_document(
    site: Site, visitors: Visitors, rows: list[Model], text: str, letter: str
) -> None:
    body = json.dumps({"input": {"document": text + letter + text}}).encode()
    answer = sent(site, visitors["user"], body)
    assert answer.status == 202, answer.body
