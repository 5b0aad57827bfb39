"""Versioned prompts, loaded from the feature's folder.

A prompt file is `features/<folder>/v<N>.md`: TOML between two `+++` lines (its parameters, the
author's note, and perhaps models of its own), then a `# System` part and a `# User` part.

The system part is the same for every call, so that the provider can cache it. Its `{{name}}` are
the feature's knowledge: files of its folder. In the user part `{{name}}` is an input field,
`{{fence}}` a random marker that is new for every rendering, and `{{datamark}}` the character
between the words of untrusted fields. Text of a user can contain neither, and stands after the last
cache breakpoint. `aifeature.fences` has the rules.

A released file never changes; a new text is a new version.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
import string
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib import resources
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from aifeature import fences, registry
from aifeature.fences import FenceError, Rendered
from aifeature.spec import Feature, Route

_FILE = re.compile(
    r"\A\+\+\+\n(?P<parameters>.*?)^\+\+\+\n\s*# System\n(?P<system>.*?)^# User\n(?P<user>.*)\Z",
    re.DOTALL | re.MULTILINE,
)


FENCE: Final = "fence"
"""The variable of the random marker."""

DATAMARK: Final = "datamark"
"""The variable of the datamark."""

_OF_RENDERING: Final = frozenset({FENCE, DATAMARK})

_FENCE_BYTES: Final = 8
_MARKER: Final = re.compile(rf"[0-9a-f]{{{2 * _FENCE_BYTES}}}")


_RELEASED: Final = re.compile(r"(?P<version>v[1-9]\d*) (?P<hash>[0-9a-f]{64})")


class PromptError(ValueError):
    """A prompt file is missing or malformed, or its variables do not fit the input."""

    text_is_ours = True  # file names and names of fields


class Parameters(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    max_tokens: int = Field(gt=0)
    """Maximum number of output tokens."""


class FrontMatter(Parameters):
    note: str = Field(min_length=1)
    """The change of this version and its reason. Not sent, and not part of the hash."""

    models: tuple[str, ...] | None = Field(default=None, min_length=1)
    """Model ids of `workers.inference.catalog`, cheapest first, which replace the routes of the
    feature for this version. None: the routes of the feature."""


class _Template(string.Template):
    flags = re.NOFLAG
    pattern = r"""
        \{\{(?:
            (?P<escaped>\{\{) |
            (?P<named>[a-z][a-z0-9_]*)\}\} |
            (?P<braced>(?!)) |
            (?P<invalid>)
        )"""  # type: ignore[assignment]


@dataclass(frozen=True, slots=True)
class Prompt:
    """One version of a feature's prompt."""

    version: str
    parameters: Parameters
    note: str
    """The change of this version and its reason."""
    system: str
    """The system turn, with the feature's knowledge filled in."""
    user: str
    hash: str
    """Hex SHA-256 of everything that can change an answer: texts, knowledge, parameters, output
    schema and routes. Evidence and ledger rows contain it."""
    own_hash: str
    """Hex SHA-256 of what the prompt's file sends: texts and parameters. It is recorded when the
    version is released."""

    untrusted: frozenset[str] = frozenset()
    """The fields that are datamarked, if the user part explains the `{{datamark}}`."""

    models: tuple[str, ...] = ()
    """The models of this version alone; empty: those of the feature's routes."""

    @property
    def _names(self) -> set[str]:
        return set(_Template(self.user).get_identifiers())

    @property
    def is_datamarked(self) -> bool:
        """Whether a character stands between the words of the untrusted fields."""
        return DATAMARK in self._names and bool(self.untrusted)

    def render(self, variables: Mapping[str, str], *, fence: str | None = None) -> Rendered:
        """Return the user turn with all variables filled in.

        Each field is escaped, so that it can close or forge no fence and no turn. The untrusted
        ones are datamarked. `fence` replaces the random marker, or seeds it.

        Raises:
            PromptError: a variable of the template is missing, or a given one is not used.
            FenceError: a text contains the marker, or no datamark is free. Nothing may be sent.

        Example:
            >>> prompts.get("summarize", "v4").render({"document": "Hello"}).text
            'In the document, the character ^ ...'
        """
        names = self._names
        if names - _OF_RENDERING != set(variables):
            raise PromptError(f"{self.version}: template uses {names}, got {set(variables)}")
        marker = _marker(fence)
        if any(fences.holds(text, marker) for text in variables.values()):
            raise FenceError("the text contains the marker of its own fence")
        values = {name: fences.escape(text) for name, text in variables.items()}
        entities = frozenset().union(*map(fences.entities_of, values.values()))
        mark = ""
        if DATAMARK in names:
            taken = (_characters(self.system), self.user, *values.values())
            mark = fences.choose_mark(marker, taken)
            for name in self.untrusted:
                values[name] = fences.datamark(values[name], mark)
        text = _Template(self.user).substitute(values, **{FENCE: marker, DATAMARK: mark})
        return Rendered(text, marker, mark, entities)

    def unprotected(self) -> list[str]:
        """Return the untrusted fields that have no fence with the marker, or no datamark."""
        name = rf"[^<>{{}}]*\{{\{{{FENCE}\}}\}}[^<>{{}}]*"
        is_marked = DATAMARK in self._names
        return [
            field
            for field in sorted(self.untrusted)
            if not is_marked
            or not re.search(rf"<(\w+){name}>\s*\{{\{{{field}\}}\}}\s*</\1{name}>", self.user)
        ]


@lru_cache(maxsize=64)
def _characters(text: str) -> str:
    """Return each character of a text once."""
    return "".join(set(text))


def _marker(fence: str | None) -> str:
    """Return a random marker, or the one of a fixed `fence`, which may be too short to be rare."""
    if fence is None:
        return secrets.token_hex(_FENCE_BYTES)
    if _MARKER.fullmatch(fence):
        return fence
    return hashlib.sha256(fence.encode()).hexdigest()[: 2 * _FENCE_BYTES]


def _hash(parts: Mapping[str, Any]) -> str:
    canonical = json.dumps(parts, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def _parse(feature: Feature, version: str, source: str) -> Prompt:
    where = f"prompt {feature.slug}/{version}"
    match = _FILE.match(source)
    if match is None:
        raise PromptError(f"{where}: needs +++ parameters +++, then '# System' and '# User'")
    try:
        front = FrontMatter(**tomllib.loads(match["parameters"]))
    except (tomllib.TOMLDecodeError, ValidationError) as error:
        raise PromptError(f"{where}: parameters: {error}") from None
    parameters = Parameters(**front.model_dump(exclude={"note", "models"}))
    stable, template = _Template(match["system"].strip()), _Template(match["user"].strip())
    if not (stable.is_valid() and template.is_valid()):
        raise PromptError(f"{where}: a '{{{{' is not followed by a variable name and '}}}}'")
    if unknown := set(stable.get_identifiers()) ^ set(feature.knowledge):
        raise PromptError(
            f"{where}: {sorted(unknown)} must be in both the feature's knowledge and the system"
            " part, which has no other variables, so that it can be cached"
        )
    fields = set(feature.input_model.model_fields)
    used = set(template.get_identifiers())
    if unknown := (used - _OF_RENDERING) ^ (fields - _OF_RENDERING):
        raise PromptError(f"{where}: {sorted(unknown)} must be in both the input and the prompt")
    for name, what in ((FENCE, "the marker"), (DATAMARK, "the datamark")):
        if name in fields:
            raise PromptError(f"{where}: the input may have no field {name!r}: it names {what}")
    system = stable.substitute({name: _knowledge(feature, name) for name in feature.knowledge})
    own: dict[str, Any] = {"user": template.template, "parameters": parameters.model_dump()}
    if front.models:  # not a part of the hashes of other versions
        own["models"] = list(front.models)
    own_routes = _routes(feature, front.models or ())
    routes = [route.model_dump(mode="json", exclude_defaults=True) for route in own_routes]
    everything = {**own, "system": system, "schema": feature.output_schema, "routes": routes}
    if DATAMARK in used:
        everything["untrusted"] = sorted(feature.untrusted)
    return Prompt(
        version=version,
        parameters=parameters,
        note=front.note,
        system=system,
        user=template.template,
        hash=_hash(everything),
        own_hash=_hash({**own, "system": stable.template}),
        untrusted=feature.untrusted,
        models=front.models or (),
    )


def routes(feature: Feature, prompt: Prompt) -> tuple[Route, ...]:
    """Return the routes of the jobs with a prompt: its own models, or the feature's routes."""
    return _routes(feature, prompt.models)


def _routes(feature: Feature, models: tuple[str, ...]) -> tuple[Route, ...]:
    return (Route(name="version", models=models),) if models else feature.routes


def models(feature: Feature) -> frozenset[str]:
    """Return every model that a job of the feature may call, with any readable version."""
    return feature.models.union(*(prompt.models for prompt in readable(feature.slug)))


def readable(slug: str) -> Iterator[Prompt]:
    """Yield the versions that this release can read, oldest first. Raises UnknownFeatureError."""
    for version in versions(slug):
        with suppress(PromptError):
            yield get(slug, version)


def _knowledge(feature: Feature, name: str) -> str:
    try:
        text: str = (_folder(feature) / f"{name}.md").read_text(encoding="utf-8")
    except FileNotFoundError:
        raise PromptError(
            f"feature {feature.slug}: its knowledge {name!r} has no file {name}.md"
        ) from None
    return text.strip()


@cache
def versions(slug: str) -> tuple[str, ...]:
    """Return the versions of a feature's prompt, oldest first. Raises UnknownFeatureError."""
    names = (file.name for file in _folder(registry.get(slug)).iterdir())
    numbers = (int(m[1]) for name in names if (m := re.fullmatch(r"v([1-9]\d*)\.md", name)))
    return tuple(f"v{number}" for number in sorted(numbers))


@cache
def get(slug: str, version: str) -> Prompt:
    """Return one version of a feature's prompt.

    Raises:
        UnknownFeatureError: no feature has this slug.
        PromptError: the version does not exist or its file is malformed.
    """
    feature = registry.get(slug)
    if version not in versions(slug):
        known = ", ".join(versions(slug)) or "none"
        raise PromptError(f"prompt {slug}/{version} does not exist; there are: {known}")
    source = (_folder(feature) / f"{version}.md").read_text(encoding="utf-8")
    return _parse(feature, version, source)


def released(slug: str) -> Mapping[str, str]:
    """Return the recorded `own_hash` of each released version, from the folder's `released.txt`.

    Raises PromptError if a line is not a version and a hash.
    """
    file = _folder(registry.get(slug)) / "released.txt"
    lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
    found = [_RELEASED.fullmatch(line) for line in lines]
    if bad := next((line for line, match in zip(lines, found, strict=True) if not match), None):
        raise PromptError(f"{slug}/released.txt: {bad!r} must be a version and its hash")
    return {match["version"]: match["hash"] for match in found if match}


def changed(slug: str) -> list[str]:
    """Return the released versions whose file has changed or is missing. Raises PromptError."""
    present = versions(slug)
    return [
        version
        for version, own_hash in released(slug).items()
        if version not in present or get(slug, version).own_hash != own_hash
    ]


def incompatibility(slug: str, version: str) -> str:
    """Return why this release cannot run a prompt version of a feature; empty if it can.

    An empty version means the code's version, which a system check covers.
    """
    if not version:
        return ""
    try:
        get(slug, version)
    except PromptError as error:
        return str(error)
    return ""


def _folder(feature: Feature) -> Any:
    return resources.files(f"aifeature.features.{feature.slug}")
