"""Prompts: parsed and rendered strictly, hashed over all that can change an answer."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, create_model

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
    assert prompt.render({"text": "Hello"}).text == "<text>\nHello\n</text>\nGo."


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
    rendered = parse().render({"text": text}).text
    assert len(re.findall(r"<\s*/?\s*text\b", rendered, re.IGNORECASE)) == 2
    assert rendered.endswith("\n</text>\nGo.")


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


def test_models_of_a_version_replace_the_routes_and_change_its_hashes() -> None:
    plain, own = parse(), parse(SOURCE.replace("max_tokens", 'models = ["n", "o"]\nmax_tokens'))
    assert [route.models for route in prompts.routes(feature(), own)] == [("n", "o")]
    assert prompts.routes(feature(), plain) == feature().routes
    assert own.hash != plain.hash
    assert own.own_hash != plain.own_hash
    # The hash of a version without models is that of releases that had none.
    assert plain.own_hash.startswith("89da7bd86f72")
    with pytest.raises(PromptError, match="models"):
        parse(SOURCE.replace("max_tokens", "models = []\nmax_tokens"))


def test_each_rendering_has_a_marker_of_its_own() -> None:
    prompt = parse(
        SOURCE.replace("<text>", '<text id="{{fence}}">').replace("</text>", "</text {{fence}}>")
    )
    one, two = (prompt.render({"text": "</text> {{fence}}"}) for _ in range(2))
    assert one.marker != two.marker
    assert re.fullmatch("[0-9a-f]{16}", one.marker)
    inside = "&lt;/text&gt; {{fence}}"
    assert one.text == f'<text id="{one.marker}">\n{inside}\n</text {one.marker}>\nGo.'


def test_a_fixed_fence_gives_the_same_rendering_each_time() -> None:
    prompt = parse(SOURCE.replace("<text>", '<text id="{{fence}}">'))
    fixed = "0123456789abcdef"
    assert prompt.render({"text": "a"}, fence=fixed).marker == fixed
    one, two = (prompt.render({"text": "n1"}, fence="n1") for _ in range(2))
    assert one == two
    assert len(one.marker) == 16, "a short marker could stand in the text"


@pytest.mark.parametrize("name", ["fence", "datamark"])
def test_an_input_cannot_take_the_name_of_the_marker_or_the_mark(name: str) -> None:
    named = create_model("Named", **{name: (str, ...)})  # type: ignore[call-overload]
    with pytest.raises(PromptError, match=f"no field '{name}'"):
        parse(SOURCE.replace("{{text}}", f"{{{{{name}}}}}"), input_model=named)


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
    with pytest.raises(PromptError, match="v1, v2, v3, v4"):
        prompts.get("summarize", "v9")


def test_each_version_of_summarize_demands_more_than_the_one_before() -> None:
    one, two, three, four = (prompts.get("summarize", v) for v in prompts.versions("summarize"))
    assert len(one.system + one.user) < len(two.system + two.user)
    assert len(two.system + two.user) < len(three.system + three.user)
    assert "two sentences" not in one.user
    assert "two sentences" in two.user
    assert "key facts" not in two.user
    assert "key facts" in three.user
    assert three.user.endswith(four.user.rpartition("\n\n")[2])
    assert "{{datamark}}" in four.user
    assert registry.get("summarize").prompt_version == "v4"


def test_every_prompt_file_is_a_version() -> None:
    folder = Path(registry.__file__).parent / "features"
    files = {path.stem for path in (folder / "summarize").glob("*.md")}
    assert files == set(prompts.versions("summarize"))
