"""`manage.py startfeature` writes a whole feature, and the checks name each part that it lacks."""

from __future__ import annotations

import importlib
import io
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from django.core.checks import CheckMessage, run_checks
from django.core.management import CommandError, call_command
from django.core.management.base import SystemCheckError

from aifeature import features, prompts, registry, suites
from project.stack import pick_up

PACKAGE = f"{features.__name__}."


@dataclass(frozen=True, slots=True)
class Place:
    """Empty folders in place of those of the features and suites."""

    code: Path
    suites: Path

    def start(self, slug: str = "labels") -> str:
        """Run the command, and return its output."""
        output = io.StringIO()
        call_command("startfeature", slug, stdout=output)
        return output.getvalue()

    def edit(self, file: str, old: str, new: str) -> None:
        path = self.code / "labels" / file
        text = path.read_text()
        assert text.count(old) == 1, f"name another passage: {old!r}"
        path.write_text(text.replace(old, new))

    def problems(self) -> list[CheckMessage]:
        forget()
        return run_checks(tags=["aifeature"])

    def tree(self) -> list[str]:
        return sorted(
            str(path.name) for root in (self.code, self.suites) for path in root.iterdir()
        )


def forget() -> None:
    """Load all features again."""
    for name in [name for name in sys.modules if name.startswith(PACKAGE)]:
        del sys.modules[name]
    importlib.invalidate_caches()
    for function in (registry.all_features, prompts.versions, prompts.get):
        function.cache_clear()


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    found = Place(tmp_path / "features", tmp_path / "evals" / "suites")
    found.code.mkdir()
    found.suites.mkdir(parents=True)
    modules = {name: sys.modules[name] for name in sys.modules if name.startswith(PACKAGE)}
    with monkeypatch.context() as patch:
        patch.setattr(features, "__path__", [str(found.code)])
        patch.setattr(suites, "FOLDER", found.suites)
        patch.setattr(sys, "dont_write_bytecode", True)  # two edits in one second look the same
        forget()
        yield found
        forget()
    sys.modules.update(modules)


def test_a_new_feature_is_whole_and_passes_all_checks(place: Place) -> None:
    output = place.start()
    assert place.problems() == []
    feature = registry.get("labels")
    assert feature.title == "Labels"
    assert len(suites.file("labels").read_text().splitlines()) in range(3, 6)
    assert "/api/v1/features/labels/jobs" in output
    assert "new_feature" not in output + (place.code / "labels" / "feature.py").read_text()


def test_the_functions_of_a_new_feature_fit_its_suite(place: Place) -> None:
    """The keyword rule passes each case of the suite, and its answers pass the check."""
    place.start()
    forget()
    feature = registry.get("labels")
    assert feature.plain is not None
    assert feature.check is not None
    for line in suites.file("labels").read_text().splitlines():
        case = suites.Case.model_validate_json(line)
        value = feature.input_model.model_validate(case.input)
        answer = feature.plain(value)
        assert case.expected.exact.items() <= answer.model_dump().items()
        assert list(feature.check(value, answer)) == []
        too_long = answer.model_copy(update={"gist": "long " * 100})
        assert len(list(feature.check(value, too_long))) == 1


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("My-Labels", "no slug: .* for example 'my_labels'"),
        ("3d", "no slug: .* for example 'd'"),
        ("../labels", "no slug"),
        ("a" * 41, "no slug"),
        ("class", "keyword of Python: .* for example 'class_text'"),
    ],
)
def test_a_name_that_cannot_be_used_is_refused(place: Place, name: str, words: str) -> None:
    with pytest.raises(CommandError, match=words) as caught:
        place.start(name)
    assert caught.value.returncode == 1
    assert place.tree() == []


@pytest.mark.parametrize("side", ["code", "suites"])
def test_nothing_is_overwritten_if_one_of_the_folders_exists(place: Place, side: str) -> None:
    taken = getattr(place, side) / "labels"
    taken.mkdir()
    with pytest.raises(CommandError, match=r"labels exists: use another name"):
        place.start()
    assert place.tree() == ["labels"]
    assert list(taken.iterdir()) == []


@pytest.mark.parametrize("side", ["code", "suites"])
def test_a_folder_that_cannot_be_written_leaves_nothing(
    place: Place, side: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last step fails here, since root may write everywhere."""
    rename = Path.rename

    def refused(path: Path, target: Path) -> Path:
        if target.parent == getattr(place, side):
            raise PermissionError(13, "Permission denied", str(target))
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", refused)
    with pytest.raises(CommandError, match=r"labels cannot be written: Permission denied\."):
        place.start()
    assert place.tree() == []


def test_a_place_that_is_no_folder_is_named(place: Place) -> None:
    place.code.rmdir()
    place.code.write_text("")
    with pytest.raises(CommandError, match=r"features.* cannot be written: Not a directory"):
        place.start()
    assert list(place.suites.iterdir()) == []


def release(*arguments: str) -> str:
    """Run `releaseprompt`, and return its output."""
    forget()
    output = io.StringIO()
    call_command("releaseprompt", *arguments, stdout=output)
    return output.getvalue()


def test_a_released_prompt_is_recorded_once_and_its_change_is_refused(place: Place) -> None:
    place.start()
    folder = place.code / "labels"
    for name in ("v2.md", "v10.md"):
        (folder / name).write_text((folder / "v1.md").read_text())
    assert "features/labels/v1.md is released.\n" in release("labels", "v1")
    (first,) = (folder / "released.txt").read_text().splitlines()
    assert "v1.md was released already.\n" in release("labels")
    lines = (folder / "released.txt").read_text().splitlines()
    assert [line.split()[0] for line in lines] == ["v1", "v2", "v10"]
    assert lines[0] == first
    assert place.problems() == []

    place.edit("v1.md", "State only", "Say only")
    (problem,) = place.problems()
    assert (problem.id, "releaseprompt labels" in (problem.hint or "")) == ("aifeature.E011", True)
    with pytest.raises(CommandError, match=r"labels/v1\.md was released and has changed since"):
        release("labels")
    assert (folder / "released.txt").read_text().splitlines() == lines


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("label",), "No feature has the slug 'label'. There are: labels."),
        (("labels", "v7"), "prompt labels/v7 does not exist; there are: v1"),
    ],
)
def test_a_prompt_that_does_not_exist_is_not_released(
    place: Place, arguments: tuple[str, ...], words: str
) -> None:
    place.start()
    with pytest.raises(CommandError, match=re.escape(words)):
        release(*arguments)


def without(name: str) -> Callable[[Place], None]:
    return lambda place: (place.code / "labels" / name).unlink()


def edited(file: str, old: str, new: str) -> Callable[[Place], None]:
    return lambda place: place.edit(file, old, new)


def copied(place: Place) -> None:
    place.start("other")
    file = place.code / "other" / "feature.py"
    file.write_text(file.read_text().replace('slug="other"', 'slug="labels"'))


def suite(line: str) -> Callable[[Place], None]:
    """Return a function that adds a fifth line to the suite."""

    def add(place: Place) -> None:
        with suites.file("labels").open("a") as file:
            file.write(line + "\n")

    return add


def sources(body: str) -> Callable[[Place], None]:
    """Return a function that gives the feature `sources` with this body."""
    function = f'A = Source(id="aa", title="A", text="a")\ndef sources():\n    {body}\n\n\n'

    def add(place: Place) -> None:
        place.edit("feature.py", "import Example,", "import Citation, Example, Source,")
        place.edit("feature.py", "FEATURE = Feature(", function + "FEATURE = Feature(")
        place.edit("feature.py", "    check=check,", "    check=check,\n    sources=sources,")

    return add


def cites(section: str) -> Callable[[Place], None]:
    """Return a function that adds a case whose answer cites this section and one that exists."""
    expected = f'{{"citations": {{"all": ["aa", "{section}"]}}}}'
    field = '    cites: list[Citation] = Field(description="Sections.")\n'

    def add(place: Place) -> None:
        sources('return {"aa": A}')(place)
        place.edit("feature.py", "class Note(BaseModel):\n", f"class Note(BaseModel):\n{field}")
        suite(f'{{"id": "odd", "input": {{"text": "Hi"}}, "expected": {expected}}}')(place)

    return add


PROBLEMS = {
    "no code": (without("feature.py"), "E007", "labels has no feature.py"),
    "no package": (without("__init__.py"), "E007", "labels has no __init__.py"),
    "no prompt": (without("v1.md"), "E002", "labels/v1 does not exist; there are: none"),
    "no note": (
        edited("v1.md", 'note = "The first version."\n', ""),
        "E002",
        "prompt labels/v1: parameters: note: Field required",
    ),
    "another folder's slug": (
        copied,
        "E008",
        "features/other has the slug 'labels', which belongs to aifeature/features/labels",
    ),
    "no file of knowledge": (
        edited("feature.py", "    check=check,", '    check=check,\n    knowledge=("handbook",),'),
        "E009",
        "has the knowledge 'handbook' and no file handbook.md",
    ),
    "sources that raise": (
        sources("raise ValueError(\"two sections have the id 'refunds'\")"),
        "E012",
        "sources of feature labels raises ValueError: two sections have the id 'refunds'.",
    ),
    "sources without a section": (sources("return {}"), "E012", "labels returns no section."),
    "sources that are no mapping": (
        sources("return [A]"),
        "E012",
        "labels returns list, not a mapping of ids to sections.",
    ),
    "a section under another id": (
        sources('return {"other": A}'),
        "E012",
        "labels returns no Source with the id 'other' under that id.",
    ),
    "an expected citation of no section": (
        cites("gone"),
        "W013",
        "evals/suites/labels/cases.jsonl:5: expected.citations: the feature has no section 'gone'",
    ),
    "a text as a hook": (
        edited("feature.py", "check=check", 'check="gist"'),
        "E001",
        "Feature labels cannot be loaded: check: Input should be callable (feature.py, line",
    ),
    "a class as a hook": (
        edited("feature.py", "check=check", "check=Note"),
        "E010",
        "check of feature labels is no function",
    ),
    "a hook of too few arguments": (
        edited("feature.py", "check=check", "check=plain"),
        "E010",
        "check of feature labels does not take 2 arguments",
    ),
    "an asynchronous hook": (
        edited("feature.py", "def plain(", "async def plain("),
        "E010",
        "plain of feature labels is asynchronous",
    ),
    "a typing error": (
        edited("feature.py", "class Note(", "class Note(("),
        "E001",
        "Feature labels cannot be loaded: SyntaxError: ",
    ),
    "a name that does not exist": (
        edited("feature.py", "plain=plain", "plain=plian"),
        "E001",
        "NameError: name 'plian' is not defined (feature.py, line",
    ),
    "no example": (
        edited("feature.py", "    examples=(", "    examples=() and ("),
        "W011",
        "labels has no examples",
    ),
    "no suite": (
        edited("feature.py", "suite=Suite(", "suite=None and Suite("),
        "W012",
        "labels has no suite",
    ),
    "no file of the suite": (
        lambda _: suites.file("labels").unlink(),
        "W012",
        "labels cannot be read: No such file",
    ),
    "a line that is not JSON": (
        suite("{'id': 1}"),
        "W013",
        "evals/suites/labels/cases.jsonl:5: not JSON",
    ),
    "a case without an id": (
        suite('{"input": {"text": "Hi"}, "expected": {}}'),
        "W013",
        "evals/suites/labels/cases.jsonl:5: id: Field required",
    ),
    "an id twice": (
        suite(
            '{"id": "praise", "input": {"text": "Hi"}, "expected": {"exact": {"kind": "other"}}}'
        ),
        "W013",
        "cases.jsonl:5: id: 'praise' is the id of an earlier line",
    ),
    "an input that does not fit": (
        suite('{"id": "odd", "input": {"txt": "Hi"}, "expected": {"exact": {"kind": "other"}}}'),
        "W013",
        "evals/suites/labels/cases.jsonl:5: input.text: Field required; input.txt: Extra inputs",
    ),
}


@pytest.mark.parametrize("case", PROBLEMS)
def test_a_missing_part_is_named_with_its_fix(place: Place, case: str) -> None:
    change, number, words = PROBLEMS[case]
    place.start()
    change(place)
    (problem,) = place.problems()
    assert problem.id == f"aifeature.{number}"
    assert words in problem.msg
    assert "\n" not in problem.msg
    assert "labels" in (problem.hint or "") or "other" in (problem.hint or "")


def test_all_features_that_do_not_load_are_named(place: Place) -> None:
    for slug in ("labels", "other"):
        place.start(slug)
        (place.code / slug / "feature.py").unlink()
    assert [problem.id for problem in place.problems()] == ["aifeature.E007"] * 2


def test_the_local_stack_shows_an_error_in_two_lines(place: Place) -> None:
    place.start()
    place.edit("feature.py", "plain=plain", "plain=plian")
    forget()
    with pytest.raises(SystemCheckError) as caught:
        call_command("check")
    first, second = pick_up.in_short(f"features failed (exit code 1):\n{caught.value}").split("\n")
    assert first.startswith("Feature labels cannot be loaded: NameError: name 'plian' is not def")
    assert "Fix it in aifeature/features/labels/" in second


def test_a_folder_that_a_removed_feature_left_is_no_feature(place: Place) -> None:
    place.start()
    (place.code / "gone" / "__pycache__").mkdir(parents=True)
    assert place.problems() == []
