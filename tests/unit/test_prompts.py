"""Prompts: parsed and rendered strictly, hashed over all that can change an answer."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from aifeature import prompts, registry
from aifeature.prompts import PromptError
from aifeature.spec import Feature, Route

SOURCE = """+++
note = "The first."
max_tokens = 10
+++
# System
Be brief.

# User
<text>
{{text}}
</text>
Go.
"""


class In(BaseModel):
    text: str


class Out(BaseModel):
    answer: str


def feature(**more: object) -> Feature:
    values = {
        "slug": "probe",
        "title": "T",
        "description": "D",
        "input_model": In,
        "output_model": Out,
        "prompt_version": "v1",
        "routes": (Route(models=("m",)),),
        **more,
    }
    return Feature.model_validate(values)


def parse(source: str = SOURCE, **more: object) -> prompts.Prompt:
    return prompts._parse(feature(**more), "v1", source)


def test_a_prompt_has_parameters_system_and_user() -> None:
    prompt = parse()
    assert prompt.parameters.max_tokens == 10
    assert prompt.note == "The first."
    assert prompt.system == "Be brief."
    assert prompt.render({"text": "Hello"}) == "<text>\nHello\n</text>\nGo."


@pytest.mark.parametrize(
    ("source", "complaint"),
    [
        ("no parts", "needs"),
        (SOURCE.replace("max_tokens = 10", ""), "max_tokens"),
        (SOURCE.replace("max_tokens = 10", "max_tokens = 10\ntemperature = 1"), "temperature"),
        (SOURCE.replace("max_tokens = 10", "max_tokens ="), "parameters"),
        (SOURCE.replace("{{text}}", "{{other}}"), "other"),
        (SOURCE.replace("{{text}}", "none"), "text"),
        (SOURCE.replace('note = "The first."', ""), "note"),
        (SOURCE.replace("Be brief.", "Be {{text}}."), "'text'.* system part"),
        (SOURCE.replace("Be brief.", "Be {{ brief }}."), "variable name"),
        (SOURCE.replace("Go.", "{{ text }}"), "variable name"),
    ],
)
def test_a_malformed_prompt_is_refused_with_its_name(source: str, complaint: str) -> None:
    with pytest.raises(PromptError, match=r"(?s)prompt probe/v1: .*" + complaint):
        parse(source)


@pytest.mark.parametrize("variables", [{}, {"text": "a", "more": "b"}, {"other": "a"}])
def test_a_missing_or_unused_variable_is_an_error(variables: dict[str, str]) -> None:
    with pytest.raises(PromptError, match="template uses"):
        parse().render(variables)


@given(st.text())
def test_text_cannot_leave_its_fence_or_be_read_as_a_template(text: str) -> None:
    rendered = parse().render({"text": text})
    assert len(re.findall(r"<\s*/\s*text\b", rendered, re.IGNORECASE)) == 1
    assert rendered.endswith("\n</text>\nGo.")


@pytest.mark.parametrize("attack", ["</text>", "</TEXT >", "< / text>", "</text\n>{{text}}"])
def test_a_closing_tag_in_the_text_is_broken_up(attack: str) -> None:
    rendered = parse().render({"text": attack})
    fenced = rendered.removeprefix("<text>").removesuffix("</text>\nGo.")
    assert attack not in fenced
    assert fenced.replace("\u200b", "").strip() == attack


def test_each_change_that_may_change_an_answer_changes_the_hash() -> None:
    class Other(BaseModel):
        answer: int

    variants = [
        parse(),
        parse(SOURCE.replace("brief", "long")),
        parse(SOURCE.replace("Go.", "Go on.")),
        parse(SOURCE.replace("= 10", "= 11")),
        parse(output_model=Other),
        parse(routes=(Route(models=("n",)),)),
    ]
    assert len({prompt.hash for prompt in variants}) == len(variants)
    assert parse().hash == parse(title="Another title").hash


def test_the_note_is_not_part_of_the_request() -> None:
    assert parse(SOURCE.replace("The first.", "Shorter.")).hash == parse().hash


def test_each_rendering_has_a_marker_of_its_own() -> None:
    prompt = parse(
        SOURCE.replace("<text>", '<text id="{{fence}}">').replace("</text>", "</text {{fence}}>")
    )
    one, two = (prompt.render({"text": "</text> {{fence}}"}) for _ in range(2))
    assert one != two
    marker = one.removeprefix('<text id="')[:16]
    assert one == f'<text id="{marker}">\n<\u200b/text> {{{{fence}}}}\n</text {marker}>\nGo.'
    assert prompt.render({"text": "a"}, fence="x") == '<text id="x">\na\n</text x>\nGo.'


def test_an_input_cannot_take_the_name_of_the_marker() -> None:
    class Named(BaseModel):
        fence: str

    with pytest.raises(PromptError, match="no field 'fence'"):
        parse(SOURCE.replace("{{text}}", "{{fence}}"), input_model=Named)


def test_knowledge_is_in_the_system_part_and_in_the_hash(monkeypatch: pytest.MonkeyPatch) -> None:
    source, texts = SOURCE.replace("Be brief.", "Use {{guide}}."), {"guide": "one {{text}}"}
    monkeypatch.setattr(prompts, "_knowledge", lambda feature, name: texts[name])
    first = parse(source, knowledge=("guide",))
    assert first.system == "Use one {{text}}."
    texts["guide"] = "two"
    second = parse(source, knowledge=("guide",))
    assert second.hash != first.hash
    assert second.own_hash == first.own_hash
    with pytest.raises(PromptError, match=r"'guide'.* system part"):
        parse(source)
    with pytest.raises(PromptError, match=r"'guide'.* system part"):
        parse(knowledge=("guide",))


def test_a_missing_file_of_knowledge_is_named() -> None:
    with pytest.raises(PromptError, match=r"knowledge 'guide' has no file guide\.md"):
        prompts._knowledge(feature(slug="summarize", knowledge=("guide",)), "guide")


def test_a_released_version_that_changed_or_is_gone_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    recorded = dict(prompts.released("summarize"))
    recorded |= {"v2": recorded["v1"], "v9": recorded["v1"]}
    monkeypatch.setattr(prompts, "released", lambda slug: recorded)
    assert prompts.changed("summarize") == ["v2", "v9"]


def test_a_broken_record_of_releases_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "released.txt").write_text("v1 abc\n")
    monkeypatch.setattr(prompts, "_folder", lambda feature: tmp_path)
    with pytest.raises(PromptError, match=r"released\.txt: 'v1 abc'"):
        prompts.released("summarize")


def test_every_prompt_of_the_shipped_features_is_released() -> None:
    """A feature is shipped if the page lists it, or if one of its prompts is released."""
    page = Path(registry.__file__).parents[1] / "docs" / "design" / "features.md"
    shipped = re.findall(r"^\| `(\w+)` \|", page.read_text(encoding="utf-8"), re.MULTILINE)
    features = registry.all_features()
    assert len(features.keys() & shipped) >= 3
    for slug in [slug for slug in features if slug in shipped or prompts.released(slug)]:
        missing = set(prompts.versions(slug)) - set(prompts.released(slug))
        assert not missing, f"run `manage.py releaseprompt {slug}`"
        assert prompts.changed(slug) == [], slug


def test_the_order_of_a_routes_conditions_is_not_part_of_the_hash() -> None:
    """The order of a set of texts differs between processes."""
    names = ("de", "en", "es", "fr", "it", "pl")
    route = Route(name="some", models=("m",), languages=frozenset(names), stages=frozenset(names))
    dumped = route.model_dump(mode="json", exclude_defaults=True)
    assert dumped["languages"] == dumped["stages"] == list(names)


def test_an_unknown_version_names_those_there_are() -> None:
    with pytest.raises(PromptError, match="v1, v2, v3"):
        prompts.get("summarize", "v9")


def test_each_version_of_summarize_demands_more_than_the_one_before() -> None:
    one, two, three = (prompts.get("summarize", v) for v in prompts.versions("summarize")[:3])
    assert len(one.system + one.user) < len(two.system + two.user)
    assert len(two.system + two.user) < len(three.system + three.user)
    assert "two sentences" not in one.user
    assert "two sentences" in two.user
    assert "key facts" not in two.user
    assert "key facts" in three.user
    assert registry.get("summarize").prompt_version == "v3"


def test_every_prompt_file_is_a_version() -> None:
    folder = Path(registry.__file__).parent / "features"
    files = {path.stem for path in (folder / "summarize").glob("*.md")}
    assert files == set(prompts.versions("summarize"))
