"""Cases that repeat each other, and cases that are in a prompt, are named."""

from __future__ import annotations

import pytest

from aifeature import prompts
from aifeature.suites import About, Case, Suite
from evals import suite_checks
from tests.unit.evals.scored import FEATURE

ASKED = "How do I install the course package into a virtual environment on Windows?"
JAPANESE = "更新の後、証明書に学校の古い名前が表示されるのはなぜですか。"


def written(version: str, text: str) -> prompts.Prompt:
    """Return a prompt with the text, in the version v1."""
    user = text if version == "v1" else "Answer."
    return prompts.Prompt(version, prompts.Parameters(max_tokens=9), "", "Help.", user, "", "")


def problems(*questions: str, groups: tuple[str, ...] = ("", ""), prompt: str = "") -> list[str]:
    cases = tuple(
        Case.model_validate(
            {
                "id": f"case-{number}",
                "input": {"question": text},
                "expected": {"language": "en"},
                "group": group,
            }
        )
        for number, (text, group) in enumerate(zip(questions, groups, strict=False))
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prompts, "versions", lambda _: ("v1", "v2"))
        patch.setattr(prompts, "get", lambda _, version: written(version, prompt))
        return suite_checks.problems(FEATURE, Suite("scored", cases, About(), ""))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Hi", "Hi"),
        (ASKED, ASKED.upper().replace(" ", "  ")),
        (ASKED, ASKED.replace("Windows", "Linux")),
        (ASKED, f"Hello there. {ASKED} Thank you very much for all of your help with this."),
        (JAPANESE, JAPANESE.replace("学校", "会社")),
    ],
)
def test_cases_that_repeat_each_other_are_named(one: str, other: str) -> None:
    sentence = "The cases case-0 and case-1 are nearly the same."
    assert [each.startswith(sentence) for each in problems(one, other)] == [True]
    assert bool(problems(one, other, groups=("g", "g"))) is (one == other), (
        "a group excuses likeness"
    )
    assert problems(one, other, groups=("g", "h")) != []


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Hi", "Hello"),
        (ASKED, "How do I install the printer that stands beside the window of the office?"),
        (JAPANESE, "払い戻しの期限を過ぎた注文について、返金を申請できますか。"),
    ],
)
def test_cases_that_share_a_few_words_are_no_repetition(one: str, other: str) -> None:
    assert problems(one, other) == []


@pytest.mark.parametrize("question", [ASKED, JAPANESE])
def test_a_case_that_is_in_a_prompt_is_named(question: str) -> None:
    sentence = "The input of the case case-0 is in the prompt v1."
    for prompt in (f"Such as: {question}", question.upper(), f"Say: {question[:-4]} it"):
        assert problems(question, prompt=prompt) == [sentence]
    assert problems(question, prompt="How do I install the course package? 更新の後") == []


def test_a_few_words_may_be_in_a_prompt_by_chance() -> None:
    assert problems("How do I install it?", prompt="Such as: How do I install it?") == []
