"""Removes active links, images and HTML from answers, whether a client renders Markdown or HTML.

An address can carry data to its host: an image does so without a click. So only addresses that are
in the feature's own knowledge, character by character, stay; a host in common is not enough,
because data is carried in paths and queries. They stay as plain text.

A bare domain name such as `example.org` stays too. Some clients make a link of it, but it needs a
click, and without a path, a query and long labels it can carry hardly any data. Product and file
names (`README.md`) have the same form, so their removal would damage ordinary answers.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, Final
from urllib.parse import urlsplit

import nh3
from linkify_it.main import LinkifyIt
from markdown_it import MarkdownIt
from markdown_it.common.html_blocks import block_names
from markdown_it.common.html_re import HTML_TAG_RE
from markdown_it.rules_inline import StateInline, autolink, image, link

ROUNDS: Final = 6
"""Most passes over a text. A removed construct can uncover another one."""

MAX_TAG: Final = 2_000
"""Most characters of a tag that is removed as one. A longer one is broken up."""

MAX_HOST: Final = 40
"""Most characters of a host name that is shown."""

NOTHING_LEFT: Final = "(content removed)"

_TRIGGER: Final = re.compile(
    r"<[A-Za-z/!?]"
    r"|\](?:\s?\(|:)"
    r"|:(?<=[A-Za-z]:)\\?[^\s\\]"
    r"|[/\\]\\?[/\\]"
    r"|&(?:#|[A-Za-z])"
    r"|\.(?<=[^\s.]\.)(?:[^\W\d_]{2}|[^\x00-\x7f]|\w{1,24}[/?#])"
)
"""A text without any of these has no active construct."""

_MAYBE_HOST: Final = re.compile(r"//|\.(?<=[^\s.]\.)(?:[^\W\d_]{2}|\d)|localhost", re.IGNORECASE)
_RUN: Final = re.compile(r"\S+")
_LOOKS_LIKE_ADDRESS: Final = re.compile(r"[/.:#?%\\]")
_HIDDEN_BY_ENTITY: Final = re.compile(r"[<\[(:/.]|[a-z]:", re.IGNORECASE)
_TAG_START: Final = re.compile(r"<(?=[A-Za-z/!?])")
_NAME: Final = re.compile(r"</?([A-Za-z][A-Za-z0-9]*)")
_LOOSE_TAG: Final = re.compile(r"""<([A-Za-z][A-Za-z0-9]*)[\s/](?:[^<>"']|"[^"]*"|'[^']*')*>""")
_BARE_TAG: Final = re.compile(r"</?[A-Za-z][A-Za-z0-9]*\s?/?>")
_ANCHOR: Final = re.compile(r'<a(?: href="([^"]*)")?>(.*?)</a>', re.DOTALL)
_IMAGE: Final = re.compile(r'<img(?: alt="([^"]*)")?>')

_SCHEME: Final = re.compile(
    r"[A-Za-z][A-Za-z0-9+.\-]{0,30}\\?:\\?[/\\]\\?[/\\][^\s<>\"]*"
    r"|https?:[/\\][^\s<>\"]*"
    r"|(?:javascript|vbscript|livescript|blob|file|view-source):[^\s<>\"]+"
    r"|data:[A-Za-z]*/?[\w.+\-]*[;,][^\s<>\"]*"
    r"|mailto:[^\s<>\"]+",
    re.IGNORECASE,
)
"""Addresses with a scheme in any spelling that a client may accept. linkify-it finds the others."""

_END_OF_RUN: Final = re.compile("[。，、；：！？」』）》】〉｠…]")  # noqa: RUF001
MAX_TRAILING: Final = 4
"""Most signs after an address of the knowledge: some clients take them as a part of it."""

_TRAILING: Final = ".,;:!?)]}'*_~`»”’|\\"  # noqa: RUF001
_PLAIN_HOST: Final = re.compile(r"(?:[a-z0-9-]{1,30}\.){1,4}[a-z0-9-]{1,24}", re.IGNORECASE)
_HOST_AND_PORT: Final = re.compile(rf"{_PLAIN_HOST.pattern}(?::\d{{1,5}})?", re.IGNORECASE)
_MAIL: Final = re.compile(r"mailto:([^\s?&%]+@[\w.\-]+)\Z", re.IGNORECASE)
_NO_SPACES: Final = re.compile(
    "[\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\uff00-\uffef\u0e00-\u0eff]"
)
"""Letters of scripts that put no space before a Latin word."""

_RAW: Final = frozenset(
    {"script", "style", "iframe", "noembed", "noframes", "noscript", "xmp", "textarea", "title"}
    | {"template", "select", "object", "math"}
)
"""Elements whose content is not shown as text."""

_LINE_ENDS: Final = frozenset(
    {"br", "p", "div", "li", "tr", "ul", "ol", "table", "h1", "h2", "h3", "h4", "h5", "h6", "hr"}
)

_ELEMENTS: Final = frozenset(
    nh3.ALLOWED_TAGS
    | set(block_names)
    | _RAW
    | {"svg", "embed", "applet", "audio", "video", "source", "track", "picture", "canvas", "input"}
    | {"button", "meta", "base", "link", "image", "img", "bgsound", "marquee", "plaintext", "font"}
    | {"label", "output", "portal", "slot", "use", "animate", "set", "foreignobject", "keygen"}
)
"""Names of elements. A word in angle brackets with another name, such as `<T>`, is inert text."""


def neutralise(text: str, *, allowed: frozenset[str] = frozenset()) -> tuple[str, int]:
    """Return the text without active links, images and HTML, and the number of removed ones.

    `allowed` are the addresses that stay, as `urls` returns them. A text without any of these
    constructs is returned unchanged.

    >>> neutralise("See [the rules](https://example.org/?q=42).")
    ('See the rules (link to example.org removed).', 1)
    """
    count = 0
    before = text
    for _ in range(ROUNDS):
        if not _TRIGGER.search(text):
            break
        cleaned, found = _pass(text, allowed)
        count += found
        if cleaned == text:
            if _is_active(text, allowed):
                text, count = _blunt(text), count + 1
            break
        text = cleaned
    else:
        text, count = _blunt(text), count + 1
    return text if text.strip() or text == before else NOTHING_LEFT, count


def urls(text: str) -> frozenset[str]:
    """Return the addresses with a scheme in a text of the feature's own knowledge."""
    found = (text[start:end] for start, end, _ in _addresses(text))
    return frozenset(address for address in found if address.startswith(("https://", "http://")))


def _pass(text: str, allowed: frozenset[str]) -> tuple[str, int]:
    cleaned, found = _strip(text, allowed)
    if cleaned == text and "&" in text:
        # An entity can hide a construct from this program, and a client decodes it.
        decoded = _decoded(text)
        if decoded != text and _HIDDEN_BY_ENTITY.search(decoded):
            cleaned, found = _strip(decoded, allowed)
            if cleaned == decoded:
                return text, 0
    return cleaned, found


def _decoded(text: str) -> str:
    for _ in range(ROUNDS):
        decoded = html.unescape(text)
        if decoded == text:
            break
        text = decoded
    return text


def _strip(text: str, allowed: frozenset[str]) -> tuple[str, int]:
    total = 0
    for step in (_without_html, _without_markdown, _without_definitions, _without_addresses):
        text, found = step(text, allowed)
        total += found
    return text, total


def _without_html(text: str, allowed: frozenset[str]) -> tuple[str, int]:
    """Remove elements; break up every other `<` that begins a tag for a browser."""
    if not _TAG_START.search(text):
        return text, 0
    parts: list[str] = []
    at = count = 0
    is_html = False
    lower = text.lower()
    for found in _TAG_START.finditer(text):
        start = found.start()
        if start < at:
            continue
        parts.append(_escaped(text[at:start]))
        if text.startswith("](", start - 2) or text.startswith(
            "]( ", start - 3
        ):  # the address of a link, removed later
            parts.append("&lt;")
            at = start + 1
            continue
        tag = _tag_at(text, start)
        whole = tag[0] if tag else "<"
        named = _NAME.match(whole)
        name = named[1].lower() if named else ""
        at = start + len(whole)
        if not tag:
            is_link = autolink_at(text, start)
            parts.append("&lt;" if is_link else "&lt; ")
            in_tag = _NAME.match(text, start)
            count += bool(
                in_tag and not is_link and len(in_tag[1]) > 1 and in_tag[1].lower() in _ELEMENTS
            )
        elif name and name not in _ELEMENTS and _BARE_TAG.fullmatch(whole):
            parts.append(_escaped(whole))
        elif _shown(text, whole, name, start, lower):
            parts.append("&lt; " + _escaped(whole[1:]))
        else:
            is_html = True
            count += not whole.startswith("</")
            ends_line = name == "br" or (name in _LINE_ENDS and whole.startswith("</"))
            parts.append("\n" if ends_line else whole)
    parts.append(_escaped(text[at:]))
    source = "".join(parts)
    if not is_html:
        return html.unescape(source), count
    cleaned = _cleaner().clean(source)
    cleaned = _IMAGE.sub(
        lambda found: html.escape(_image_note(html.unescape(found[1] or "")), quote=False), cleaned
    )
    cleaned = _ANCHOR.sub(lambda found: _anchor(found, allowed), cleaned)
    return html.unescape(cleaned), count


def _tag_at(text: str, start: int) -> re.Match[str] | None:
    """Return the tag that begins here. Browsers accept spellings that Markdown does not."""
    end = start + MAX_TAG
    if found := HTML_TAG_RE.match(text, start, end):
        return found
    found = _LOOSE_TAG.match(text, start, end)
    return found if found and found[1].lower() in _ELEMENTS and "=" in found[0] else None


def autolink_at(text: str, at: int) -> bool:
    """Return whether an autolink of Markdown (`<https://…>`) begins here."""
    end = text.find(">", at, at + MAX_TAG)
    inner = text[at + 1 : end] if end > 0 else ""
    return (
        re.fullmatch(r"[A-Za-z][A-Za-z0-9+.\-]{1,31}:[^<>\s]*|[^<>\s]{1,64}@[^<>\s]+", inner)
        is not None
    )


def _shown(text: str, whole: str, name: str, start: int, lower: str) -> bool:
    """Return whether a tag is a word of the text rather than markup."""
    if name == "plaintext":
        return True
    if _BARE_TAG.fullmatch(whole) and text[start - 1 : start] == "`":
        return True
    return name in _RAW and not whole.startswith("</") and f"</{name}" not in lower[start:]


def _escaped(text: str) -> str:
    return html.escape(text, quote=False)


def _anchor(found: re.Match[str], allowed: frozenset[str]) -> str:
    if found[1] is None:
        return found[2]
    return found[2] + _escaped(_after(html.unescape(found[2]), html.unescape(found[1]), allowed))


def _after(label: str, address: str, allowed: frozenset[str]) -> str:
    """Return the text that replaces the address of a link after its label."""
    note = f"({address})" if address in allowed else _link_note(address)
    return f" {note}" if label and not label[-1].isspace() else note


def _link_note(address: str) -> str:
    host = _host(address)
    return f"(link to {host} removed)" if host else "(link removed)"


def _image_note(alt: str) -> str:
    alt = " ".join(alt.split())
    return f"(image removed: {alt})" if alt else "(image removed)"


def _host(address: str) -> str:
    """Return the host of an address if it can be shown; else an empty text."""
    try:
        host = urlsplit(address if "//" in address[:40] else f"//{address}").hostname or ""
    except ValueError:
        return ""
    plain = _PLAIN_HOST.fullmatch(host) and len(host) <= MAX_HOST and "xn--" not in host
    return host.removeprefix("www.") if plain else ""


@cache
def _cleaner() -> nh3.Cleaner:
    return nh3.Cleaner(
        tags={"a", "img"},
        attributes={"a": {"href"}, "img": {"alt"}},
        clean_content_tags=set(_RAW),
        link_rel=None,
        url_schemes={"http", "https", "mailto", "ftp", "javascript", "data", "vbscript", "file"},
    )


def _without_markdown(text: str, allowed: frozenset[str]) -> tuple[str, int]:
    """Remove links, images and autolinks, in code too, since not every client renders code."""
    if "](" not in text and "<" not in text:
        return text, 0
    found: list[tuple[str, int, int]] = []
    _inline().parseInline(text, {"found": found, "text": text})
    parts: list[str] = []
    at = count = 0
    for kind, start, end in sorted(found, key=lambda item: (item[1], -item[2])):
        if start < at:
            continue
        whole = text[start:end]
        label, address = _parts(kind, whole)
        parts.append(text[at:start])
        at = end
        if kind == "link" and not _LOOKS_LIKE_ADDRESS.search(address):  # such as code: f[i](x)
            parts.append(whole.replace("](", "] ("))
            continue
        if kind == "image":
            parts.append(_image_note(label))
        elif kind == "autolink":
            parts.append(_bare(address, allowed))
        else:
            parts.append(label + _after(label, address, allowed))
        count += address not in allowed
    return "".join(parts) + text[at:], count


def _parts(kind: str, whole: str) -> tuple[str, str]:
    """Return the label and the address of a link or an image."""
    if kind == "autolink":
        return "", whole[1:-1]
    tokens = _whole().parseInline(whole)[0].children or []
    address = next((str(t.attrs.get("href") or t.attrs.get("src")) for t in tokens if t.attrs), "")
    opening = whole.index("[") + 1
    depth = 1
    for at in range(opening, len(whole)):
        depth += {"[": 1, "]": -1}.get(whole[at], 0)
        if depth == 0 and whole[at + 1 : at + 2] == "(":
            return whole[opening:at], address
    return whole[opening : whole.rindex("](")], address


Rule = Callable[[StateInline, bool], bool]


def _recorded(kind: str, rule: Rule) -> Rule:
    def record(state: StateInline, silent: bool) -> bool:  # noqa: FBT001 (a rule of the parser)
        start = state.pos
        is_match = rule(state, silent)
        if is_match and not silent and state.src == state.env.get("text"):
            state.env["found"].append((kind, start, state.pos))
        return is_match

    return record


@cache
def _inline() -> MarkdownIt:
    """Return a parser of links alone, which records where they are."""
    parser = _any_address(MarkdownIt("zero"))
    for kind, rule in (("link", link), ("image", image), ("autolink", autolink)):
        parser.enable(kind)
        parser.inline.ruler.at(kind, _recorded(kind, rule))
    return parser


@cache
def _whole() -> MarkdownIt:
    return _any_address(MarkdownIt("commonmark"))


@cache
def _blocks() -> MarkdownIt:
    return _any_address(MarkdownIt("commonmark")).disable("inline")


def _any_address(parser: MarkdownIt) -> MarkdownIt:
    """Accept every address: by default the parser lets text with an odd scheme stand as it is."""
    vars(parser).update(validateLink=lambda _address: True, normalizeLink=str)
    return parser


def _without_definitions(text: str, _allowed: frozenset[str]) -> tuple[str, int]:
    """Break up definitions of references, so that `[label]` refers to nothing."""
    if "]:" not in text:
        return text, 0
    environment: dict[str, Any] = {}
    _blocks().parse(text, environment)
    known = [*environment.get("references", {}).values(), *environment.get("duplicate_refs", [])]
    if not known:
        return text, 0
    lines = re.split(r"(?<=\n)|(?<=\r)(?!\n)", text)
    for definition in known:
        first, last = definition["map"]
        for number in range(first, min(max(last, first + 1), len(lines))):
            lines[number] = lines[number].replace("]:", "] :")
    return "".join(lines), len(known)


def _without_addresses(text: str, allowed: frozenset[str]) -> tuple[str, int]:
    parts: list[str] = []
    at = count = 0
    for start, end, is_bare in _addresses(text):
        address = text[start:end]
        if is_bare:
            new = _bare_name(address)
        else:
            new = _bare(address, allowed if _ends_at(text, end) else frozenset())
            if new == address and _END_OF_RUN.match(text, end):
                new += " "
        count += new != address
        parts += text[at:start], new
        at = end
    return "".join(parts) + text[at:], count


def _ends_at(text: str, end: int) -> bool:
    """Return whether every client ends an address here."""
    run = _RUN.match(text, end)
    signs = run[0] if run else ""
    rest = signs.strip(_TRAILING + '"')
    if rest:
        return rest.startswith("<") or _END_OF_RUN.match(signs) is not None
    return len(signs) <= MAX_TRAILING


def _bare(address: str, allowed: frozenset[str]) -> str:
    if address in allowed:
        return address
    if mail := _MAIL.match(address):
        return mail[1]
    if "@" in address and ":" not in address and "/" not in address:
        return address
    return _link_note(address)


def _bare_name(address: str) -> str:
    """Return a domain name without a scheme as it is, if it can carry hardly any data."""
    if address.lower().startswith("www.") or "xn--" in address.lower():
        return _link_note(address)
    if len(address) <= MAX_HOST and _HOST_AND_PORT.fullmatch(address):
        return address
    if not address.isascii() and not re.search(r"[/?#:]", address):
        return re.sub(r"\.(?=\S)", ". ", address)
    return _link_note(address)


def _addresses(text: str) -> Iterator[tuple[int, int, bool]]:
    """Yield the begin and end of each address in a text, and whether it has no scheme."""
    spans = [span for run in _RUN.finditer(text) for span in _in_run(run[0], run.start())]
    at = 0
    for start, end, is_bare in sorted(spans, key=lambda span: (span[0], span[2], -span[1])):
        cut = _END_OF_RUN.search(text, start, end)
        stop = start + len(text[start : cut.start() if cut else end].rstrip(_TRAILING))
        if start >= at and stop > start:
            yield start, stop, is_bare
            at = stop


def _in_run(run: str, place: int) -> Iterator[tuple[int, int, bool]]:
    """Yield the addresses in characters without a space between them. They may overlap."""
    if ":" in run:
        for found in _SCHEME.finditer(run):
            yield place + found.start(), place + found.end(), False
    if not _MAYBE_HOST.search(run):
        return
    for match in _linkify().match(run) or ():
        is_bare = not match.schema
        start = match.index
        if is_bare:
            host = re.split(r"[/?#:]", match.raw, maxsplit=1)[0]
            others = [found.end() for found in _NO_SPACES.finditer(host)]
            start += others[-1] if others and "." in host[others[-1] :] else 0
        yield place + start, place + match.last_index, is_bare


@cache
def _linkify() -> Any:
    linkifier: Any = LinkifyIt  # it has no types
    return linkifier(options={"fuzzy_link": True, "fuzzy_ip": True, "fuzzy_email": False})


def _is_active(text: str, allowed: frozenset[str]) -> bool:
    """Return whether a renderer of Markdown still makes a link or an image of this."""
    for found in _TAG_START.finditer(text):
        bare = _BARE_TAG.match(text, found.start(), found.start() + MAX_TAG)
        name = _NAME.match(text, found.start())
        if not bare or (name and name[1].lower() in _ELEMENTS):
            return True
    waiting = _whole().parse(text)
    while waiting:
        token = waiting.pop()
        waiting += token.children or ()
        if token.type == "image":
            return True
        if token.type == "link_open" and token.attrs.get("href") not in allowed:
            return True
    return any(
        (_bare_name if is_bare else _link_note)(text[start:end]) != text[start:end]
        for start, end, is_bare in _addresses(text)
        if is_bare or text[start:end] not in allowed
    )


def _blunt(text: str) -> str:
    """Break up everything from which a client can make a construct."""
    text = _TAG_START.sub("< ", _decoded(text))
    text = re.sub(r"\](?=[(:\[])", "] ", text)
    text = re.sub(r":(?=\S)", ": ", text)
    return re.sub(r"[./\\](?=[\w./\\])", lambda found: f"{found[0]} ", text)
