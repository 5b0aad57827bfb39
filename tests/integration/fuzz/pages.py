"""The forms of a page with the values that a browser would send."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser
from urllib.parse import urljoin, urlsplit

_TYPED = {"number": "1", "date": "2026-11-28", "time": "10:00:00", "email": "a@b.example"}
_NO_VALUE = {"submit", "button", "reset", "image"}
_CHECKED = {*_NO_VALUE, "number", "date", "time", "checkbox", "radio", "file"}
"""The types of an input that takes no long text."""


@dataclass
class Form:
    """The address, method and fields of a form."""

    action: str
    method: str
    fields: list[tuple[str, str]] = field(default_factory=list)
    free: set[str] = field(default_factory=set)
    """The names of the fields that may take a long text."""
    longest: dict[str, int] = field(default_factory=dict)
    """Most characters of a field, if its page limits them."""

    def __str__(self) -> str:
        return f"{self.method} {self.action} ({', '.join(name for name, _ in self.fields)})"


class _Reader(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self._page = page
        self.forms: list[Form] = []
        self._select = ""
        self._is_open = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        if tag == "form":
            # A script may send a form without an action to another address.
            action = found.get("hx-post") or found.get("action") or self._page
            method = "POST" if "hx-post" in found else found.get("method", "get").upper()
            where = urlsplit(urljoin(self._page, action))
            self.forms.append(Form(where.path, method))
            self._is_open = True
        elif not self._is_open or tag not in {"input", "textarea", "select", "option", "button"}:
            return
        elif tag == "select":
            self._select = found.get("name", "")
            self._add(self._select, "")
        elif tag == "option":
            fields = self.forms[-1].fields
            if self._select and fields[-1] == (self._select, ""):
                fields[-1] = (self._select, found.get("value", ""))
        else:
            kind = found.get("type", "text")
            value = found.get("value") or _TYPED.get(kind, "" if kind in _NO_VALUE else "x")
            self._add(found.get("name", ""), value)
            if tag == "textarea" or (tag == "input" and kind not in _CHECKED):
                self.forms[-1].free.add(found.get("name", ""))
                if limit := found.get("maxlength"):
                    self.forms[-1].longest[found.get("name", "")] = int(limit)

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._is_open = False

    def _add(self, name: str, value: str) -> None:
        if name and name != "csrfmiddlewaretoken":
            self.forms[-1].fields.append((name, value))


def forms_of(page: str, html: str) -> list[Form]:
    """Every form of this page that has a field."""
    reader = _Reader(page)
    reader.feed(html)
    return [form for form in reader.forms if form.fields]
