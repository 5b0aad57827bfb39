"""The planted changes fit the prompts of today, so that `make planted` tests what it names."""

from __future__ import annotations

import pytest

from aifeature import prompts, registry
from project.stack.local_dir import CHECKOUT
from tests.planted.__main__ import Verdict
from tests.planted.changes import Change, all_changes

NEEDED = {
    "summarize": {"instruction dropped", "wrong language", "hallucination invited"},
    "triage": {"instruction dropped", "wrong language", "hallucination invited"},
    "answer": {
        *("instruction dropped", "wrong language", "hallucination invited"),
        *("handbook section removed", "citation rule dropped"),
    },
}


@pytest.mark.parametrize("change", all_changes(), ids=lambda c: f"{c.feature}, {c.name}")
def test_a_change_fits_the_file_that_it_changes(change: Change) -> None:
    file = change.file or f"{prompts.versions(change.feature)[-1]}.md"
    text = (CHECKOUT / "aifeature" / "features" / change.feature / file).read_text()
    assert change.applied(text) != text


@pytest.mark.parametrize(
    ("exit_code", "output", "is_right"),
    [
        (2, "line 3: expected.citations: the feature has no section 'refund-window'", True),
        (2, "line 3: expected.citations: the feature has no section 'classes'", False),
        (2, "Workers for the queue evals do not run.", False),
        (1, "", True),
        (0, "", False),
        (3, "", False),
    ],
)
def test_a_removed_section_is_caught_by_its_name(
    exit_code: int, output: str, *, is_right: bool
) -> None:
    (change,) = (change for change in all_changes() if change.section)
    assert Verdict(change, exit_code, output).is_right is is_right


def test_each_feature_is_made_worse_in_each_way_and_also_left_as_good() -> None:
    suites = {slug for slug, feature in registry.offered().items() if feature.suite}
    changes = all_changes()
    assert suites == set(NEEDED)
    for slug in suites:
        own = [change for change in changes if change.feature == slug]
        assert {change.name for change in own if change.is_worse} == NEEDED[slug]
        assert {change.name for change in own if not change.is_worse} == {
            *("sentences reordered", "a synonym")
        }
