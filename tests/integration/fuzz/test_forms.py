"""No field value and no encoding of any form makes the site fail."""

from __future__ import annotations

from itertools import islice, product
from typing import Any

import pytest
from django.db.models import Model
from hypothesis import given, note
from hypothesis import strategies as st

from tests.integration.fuzz.asgi import Site, Visit
from tests.integration.fuzz.conftest import VISITORS, Header, Visitors
from tests.integration.fuzz.pages import Form, forms_of
from tests.integration.fuzz.places import known_values, places
from tests.integration.fuzz.values import TIMES, query, thorough, values


@pytest.fixture
def forms(site: Site, visitors: Visitors, rows: list[Model]) -> list[Form]:
    """Every form of every page that leads to a row, as each visitor gets it."""
    found: dict[str, Form] = {}
    for place in places():
        for visitor in VISITORS:
            ways = 3 if visitor == "boss" else 1
            for given_values in islice(product(*known_values(place, rows)), ways):
                path = place.path(given_values)
                answer = site.visit(Visit(path.encode(), headers=visitors[visitor]))
                assert answer.is_fine, (visitor, path, answer)
                if answer.headers.get(b"Content-Type", b"").startswith(b"text/html"):
                    found |= {str(form): form for form in forms_of(path, answer.body.decode())}
    return list(found.values())


@st.composite
def _filled(draw: st.DrawFn, form: Form) -> list[tuple[str, str]]:
    """The form's fields, of which some are changed, repeated or missing."""
    fields = list(form.fields)
    for _ in range(draw(st.integers(0, 3))):
        place = draw(st.integers(0, len(fields) - 1))
        name = fields[place][0]
        match draw(st.sampled_from(("change", "change", "change", "repeat", "leave out"))):
            case "change":
                fields[place] = (name, draw(values))
            case "repeat":
                fields.append((name, draw(values)))
            case _ if len(fields) > 1:
                del fields[place]
    return fields


def _multipart(fields: list[tuple[str, str]]) -> bytes:
    parts = (
        f'--b\r\nContent-Disposition: form-data; name="{name}"'
        f"{'; filename=x' if name.endswith('-file') else ''}\r\n\r\n{value}\r\n"
        for name, value in fields
    )
    return "".join((*parts, "--b--\r\n")).encode("utf-8", "surrogatepass")


def _submission(
    form: Form, headers: list[Header], fields: list[tuple[str, str]], *, multipart: bool = False
) -> Visit:
    if form.method == "GET":
        return Visit(f"{form.action}?{query(fields)}".encode(), headers=headers)
    kind, body = b"application/x-www-form-urlencoded", query(fields).encode()
    if multipart:
        kind, body = b"multipart/form-data; boundary=b", _multipart(fields)
    length = (b"content-length", str(len(body)).encode())
    return Visit(form.action.encode(), "POST", [*headers, (b"content-type", kind), length], body)


@pytest.mark.timeout(600)
def test_no_field_breaks_the_site(site: Site, visitors: Visitors, forms: list[Form]) -> None:
    """Every field with some odd values, since examples alone might miss one; then examples.

    One test, so that the pages are walked through once. A choice or a number gets no long text
    by default: it could not store one.
    """
    actions = {form.action for form in forms}
    assert {"/accounts/login/", "/admin/login/", "/f/summarize/", "/jobs/"} <= actions
    assert len(forms) > 50
    long, odd = "a" * 256, ("a\0b", "-Infinity", "9" * 40)
    for number, form in enumerate(forms):
        for place, (name, _) in enumerate(form.fields):
            own = odd if TIMES > 1 else (odd[(number + place) % len(odd)],)
            for value in (*own, long) if TIMES > 1 or name in form.free else own:
                fields = [*form.fields[:place], (name, value), *form.fields[place + 1 :]]
                answer = site.visit(_submission(form, visitors["boss"], fields))
                assert answer.is_fine, (str(form), name, value[:20], answer)

    @thorough(250)
    @given(data=st.data())
    def any_form(data: Any) -> None:
        form = data.draw(st.sampled_from(forms))
        fields = data.draw(_filled(form))
        visitor = data.draw(st.sampled_from(("boss", "boss", *VISITORS)))
        note(f"{visitor} {form} {[(name, value[:300]) for name, value in fields]}")
        visit = _submission(form, visitors[visitor], fields, multipart=data.draw(st.booleans()))
        answer = site.visit(visit)
        assert answer.is_fine, answer

    any_form()
