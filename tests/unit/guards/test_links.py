from __future__ import annotations

import random
import re
import time
from html.parser import HTMLParser

import pytest
from markdown_it import MarkdownIt

from aifeature.services.guards import links
from tests import hostile_answers

HOST = "collect.example.net"
KNOWN = "https://docs.example.org/returns?lang=en"
HOSTILE = hostile_answers.rendered(HOST)
ACTIVE = {"href", "src", "srcset", "style", "action", "data", "poster", "background", "content"}
NOTE = "(link to shop.example removed)"
INERT = re.compile(r"http://[\w.-]{1,40}(:\d+)?|mailto:[^?]+")
"""Addresses that a client makes of bare names."""


class Elements(HTMLParser):
    """Collects the attributes and the names of the elements of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.attributes: list[tuple[str, str]] = []
        self.names: set[str] = set()
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        self.attributes += [(name, value or "") for name, value in attrs]


def active(text: str) -> list[tuple[str, str]]:
    """Return what two renderers make of a text that could reach another host."""
    markdown = MarkdownIt("commonmark", {"linkify": True, "html": True}).enable("linkify")
    pages = [Elements(markdown.render(text)), Elements(text), Elements(f"{text}'>\">")]
    found = [pair for page in pages for pair in page.attributes]
    return [
        (name, value)
        for name, value in found
        if (name in ACTIVE or name.startswith("on"))
        and value != KNOWN
        and not INERT.fullmatch(value)
    ]


@pytest.mark.parametrize("name", HOSTILE)
def test_nothing_active_remains(name: str) -> None:
    cleaned, count = links.neutralise(HOSTILE[name])
    assert active(cleaned) == []
    assert not Elements(cleaned).names & {"img", "script", "svg", "iframe", "a", "style", "form"}
    assert count > 0
    assert "parcel" in cleaned
    assert "SECRET" not in cleaned
    assert links.neutralise(cleaned)[0] == cleaned


def test_broken_and_nested_constructs_stay_inert() -> None:
    parts = ["[", "](", ")", "![", "]", "]: ", "<", ">", '"', "'", "https://", "//", HOST]
    parts += ["/a?b=c", "<img src=", "<a href=", "</a>", "<b>", "&lt;", "&#104;", "\\", "`", " "]
    parts += [
        "\n",
        "\n\n",
        "word",
        "www.",
        "javascript:",
        "<!--",
        "-->",
        "onerror=",
        "style=",
        "> ",
    ]
    rng = random.Random(7)
    for _ in range(400):
        text = "".join(rng.choices(parts, k=rng.randint(2, 14)))
        cleaned, _count = links.neutralise(text)
        assert active(cleaned) == [], text
        assert links.neutralise(cleaned)[0] == cleaned, text


@pytest.mark.parametrize(
    "text",
    [
        "Cards such as [CARD_1] cost 3.50 euros, see [12] and [3].",
        "It holds if a < b and b > 3; use List<T> or <T>.",
        "e.g. example.com, README.md:42 or Node.js, at 10:30 and/or 3/4.",
        "R&D, AT&T & Q&A: 50 % of C:\\data. f(x)[0] (yes) | no_one * 2 ** 3",
        "Die Rechnung vom 3.5. ist z.B. bezahlt. 请看手册。",
        "a" * 50,
    ],
)
def test_ordinary_text_is_returned_unchanged(text: str) -> None:
    assert links.neutralise(text) == (text, 0)


def test_labels_and_hosts_stay_readable() -> None:
    text = "See [the rules](https://shop.example/?q=1), ![a chart](//x.example/c.png) <b>now</b>."
    assert links.neutralise(text)[0] == (
        "See the rules (link to shop.example removed), (image removed: a chart) now."
    )


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("[Anna]: /logout", "[Anna] : /logout"),
        ("[it](javascript:go()) here", "it (link removed) here"),
        ("index[i](x) of it", "index[i] (x) of it"),
        ("one<br>two", "one\ntwo"),
        ("<img src=x>", "(image removed)"),
        ("<script>go()</script>", links.NOTHING_LEFT),
        ("<https://shop.example/a>, //shop.example/b", "(link to shop.example removed), " + NOTE),
    ],
)
def test_little_else_is_changed(text: str, cleaned: str) -> None:
    assert links.neutralise(text)[0] == cleaned


def test_only_whole_addresses_of_the_knowledge_stay() -> None:
    allowed = links.urls(f"Read {KNOWN}.")
    assert allowed == {KNOWN}
    for text in (KNOWN, f"See {KNOWN}.", f"({KNOWN})", f"Open `{KNOWN}`, then"):
        assert links.neutralise(text, allowed=allowed) == (text, 0)
    assert links.neutralise(f"[Returns]({KNOWN})", allowed=allowed)[0] == f"Returns ({KNOWN})"
    for more in ("&d=SECRET", "#SECRET", "/../SECRET", '"SECRET', "|SECRET", "_`_`_`_"):
        assert more not in links.neutralise(f"[x]({KNOWN}{more})", allowed=allowed)[0]
        assert KNOWN not in links.neutralise(f"see {KNOWN}{more}", allowed=allowed)[0]


def test_work_grows_with_the_text_only() -> None:
    """Quadratic work would take 64 times as long for a text that is 8 times as long."""

    def work(text: str) -> float:
        begin = time.process_time()
        links.neutralise(text)
        return time.process_time() - begin

    for piece in ("[", "![](", "[a](", '<a b="', "<!--", "<?", "a.b/", "&#", "http://a.", "]:\n"):
        short, long = piece * 40, piece * 320
        assert min(work(long), work(long)) < 32 * max(work(short), work(short), 0.002), piece
