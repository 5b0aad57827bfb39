"""Versioned prompts, loaded from the feature's folder.

A prompt file is `features/<folder>/v<N>.md`: TOML between two `+++` lines (its parameters),
then a `# System` part and a `# User` part. `{{name}}` is replaced by an input field. A released
file never changes; a new text is a new version.
"""

from __future__ import annotations

import hashlib
import json
import re
import string
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from aifeature import registry
from aifeature.spec import Feature

_FILE = re.compile(
    r"\A\+\+\+\n(?P<parameters>.*?)^\+\+\+\n\s*# System\n(?P<system>.*?)^# User\n(?P<user>.*)\Z",
    re.DOTALL | re.MULTILINE,
)


class PromptError(ValueError):
    """A prompt file is missing or malformed, or its variables do not fit the input."""

    text_is_ours = True  # file names and names of fields


class Parameters(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    max_tokens: int = Field(gt=0)
    """Maximum number of output tokens."""


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
    system: str
    user: str
    hash: str
    """Hex SHA-256 of everything that can change an answer: texts, parameters, output schema and
    routes. Evidence and ledger rows contain it."""

    def render(self, variables: Mapping[str, str]) -> str:
        """Return the user turn with all variables filled in.

        Untrusted text must not close the tag around it, so a zero-width space is put after the `<`
        of each closing tag that the template uses.

        Raises:
            PromptError: a variable of the template is missing, or a given one is not used.
        """
        names = set(_Template(self.user).get_identifiers())
        if names != set(variables):
            raise PromptError(f"{self.version}: template uses {names}, got {set(variables)}")
        tags = "|".join(map(re.escape, set(re.findall(r"</(\w+)>", self.user)))) or r"(?!)"
        closing = re.compile(rf"<(?=\s*/\s*(?:{tags})\b)", re.IGNORECASE)
        fenced = {name: closing.sub("<\u200b", text) for name, text in variables.items()}
        return _Template(self.user).substitute(fenced)


def _hash(parts: Mapping[str, Any]) -> str:
    canonical = json.dumps(parts, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def _parse(feature: Feature, version: str, source: str) -> Prompt:
    where = f"prompt {feature.slug}/{version}"
    match = _FILE.match(source)
    if match is None:
        raise PromptError(f"{where}: needs +++ parameters +++, then '# System' and '# User'")
    try:
        parameters = Parameters(**tomllib.loads(match["parameters"]))
    except (tomllib.TOMLDecodeError, ValidationError) as error:
        raise PromptError(f"{where}: parameters: {error}") from None
    system, user = match["system"].strip(), match["user"].strip()
    template = _Template(user)
    if not template.is_valid():
        raise PromptError(f"{where}: a '{{{{' is not followed by a variable name and '}}}}'")
    if _Template(system).get_identifiers():
        raise PromptError(f"{where}: the system part holds instructions only, no variables")
    if unknown := set(template.get_identifiers()) ^ set(feature.input_model.model_fields):
        raise PromptError(f"{where}: {sorted(unknown)} must be in both the input and the prompt")
    digest = _hash(
        {
            "system": system,
            "user": user,
            "parameters": parameters.model_dump(),
            "schema": feature.output_schema,
            "routes": [route.model_dump() for route in feature.routes],
        }
    )
    return Prompt(version, parameters, system, user, digest)


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
