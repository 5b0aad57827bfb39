"""The page of a run holds hostile text safely, and shows the cases that matter first."""

from __future__ import annotations

import base64
import gzip
import json
import random
from collections.abc import Iterator
from datetime import UTC, datetime
from html.parser import HTMLParser
from typing import Any

import pytest

from aifeature import prompt_diff
from evals.harness import conclude, plan
from evals.models import Run, Sample
from evals.report import contents, figures, matrix, page, words
from evals.report.summary import lines
from tests.unit.evals.made import decided, suite

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'&{{ 7 * 7 }}\u2028-->"
MOST_BYTES = 3_000_000


def case(name: str, **more: Any) -> dict[str, Any]:
    exact = {"category": "billing", "needs_human": False}
    return {"id": name, "input": {"ticket": f"{name}?"}, "expected": {"exact": exact}, **more}


def interval(low: float, high: float) -> dict[str, float]:
    return {"low": low, "high": high}


def arm(rate: float) -> dict[str, Any]:
    return {"rate": rate, "interval": interval(rate - 0.05, rate + 0.05), "churn": 0.125}


def a_verdict(**more: Any) -> dict[str, Any]:
    rows = [{"drop_points": 0.0, "regressions": 0.024, "not_comparable": 0.01}]
    return {
        "decision": "regression",
        "reasons": ["The candidate is worse: p = 0.0004, below 0.03."],
        "baseline": arm(0.9),
        "candidate": arm(0.78),
        "difference_points": -12.0,
        "difference_interval": interval(-18.1, -5.9),
        "score_difference": None,
        "test": "one-sided paired t test",
        "p": 0.0004,
        "must_broken": ["broken"],
        "suspects": [],
        "worse": [],
        "better": [],
        "churning": [],
        "suspicious": False,
        "floor": 0.75,
        "floor_rate": 0.78,
        "floor_failures": 0.083,
        "smallest_drop_points": 8.3,
        "tags": [
            {"tag": "refund", "cases": 4, "difference_points": -25.0, "p": 0.001, "p_holm": 0.012},
            {"tag": "other", "cases": 4, "difference_points": -5.0, "p": 0.4, "p_holm": 0.8},
        ],
        "cases": 100,
        "groups": 98,
        "repeats": 3,
        "unscored_share": 0.004,
        "plain_rate": 0.47,
        "gate": {
            "badge": "catches a 15-point drop 99 %, cries wolf 3 %",
            "cases": 100,
            "repeats": 3,
            "rounds": 2000,
            "rows": rows,
        },
        **more,
    }


def a_run(*cases: dict[str, Any], **more: Any) -> Run:
    given: dict[str, Any] = {
        "feature": "triage",
        "kind": Run.Kind.COMPARE,
        "state": Run.State.ENDED,
        "cases": {"cases": list(cases), "about": {"tags": {}, "criteria": {}}},
        "suite_hash": "5" * 64,
        "scorer_hash": "6" * 64,
        "arms": {name: prompt(version) for name, version in VERSIONS.items()},
        "provider": "anthropic",
        "repeats": 3,
        "estimate_micro": 500_000,
        "cap_micro": 5_000_000,
        "created_at": datetime(2026, 3, 1, tzinfo=UTC),
        "ended_at": datetime(2026, 3, 1, 1, tzinfo=UTC),
        "verdict": a_verdict(),
    }
    return Run(**given | more)


VERSIONS = {"candidate": "v2", "baseline": "v1"}


def prompt(version: str, **more: str) -> dict[str, str]:
    return {"version": version, "hash": "7" * 64, "note": "", "system": "", "user": "", **more}


def repeats(run: Run, name: str, **arms: str) -> Iterator[Sample]:
    """Yield a sample for each letter of each arm: `p` passed, `f` failed, `u` unscored."""
    for found, letters in arms.items():
        for number, letter in enumerate(letters, 1):
            scored = {"passed": letter == "p", "score": float(letter == "p")}
            yield Sample(
                run=run,
                arm=found,
                case=name,
                repeat=number,
                state="unscored" if letter == "u" else "scored",
                output={"category": "billing" if letter == "p" else "refund", "needs_human": False},
                **({} if letter == "u" else scored),
            )


class Elements(HTMLParser):
    """The elements of a page with their attributes, and the text of each script."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag == "script":
            self.scripts.append("")

    def handle_data(self, data: str) -> None:
        if self.cdata_elem == "script":
            self.scripts[-1] += data


def unpacked(text: str) -> Any:
    return json.loads(gzip.decompress(base64.b64decode(Elements(text).scripts[0])))


def test_hostile_text_stays_text() -> None:
    about = {"tags": {HOSTILE: HOSTILE}, "criteria": {HOSTILE[:60]: HOSTILE}}
    given = case(
        "hostile", input={HOSTILE: HOSTILE}, tags=[HOSTILE], note=HOSTILE, group=HOSTILE
    ) | {"expected": {"exact": {HOSTILE: [HOSTILE, "x"]}, "reference": HOSTILE}}
    tag = {"tag": HOSTILE, "cases": 1, "difference_points": 1.0, "p": 0.1, "p_holm": 0.01}
    hostile = dict.fromkeys(prompt(""), HOSTILE)
    run = a_run(
        given,
        cases={"cases": [given], "about": about},
        arms={
            "candidate": hostile | {"system": f"{HOSTILE}!"},
            "baseline": hostile | {"taken_from": HOSTILE},
        },
        judge={"version": HOSTILE, "hash": HOSTILE, "models": [HOSTILE]},
        provider=HOSTILE,
        note=HOSTILE,
        verdict=a_verdict(reasons=[HOSTILE], must_broken=[HOSTILE], test=HOSTILE, tags=[tag]),
    )
    samples = list(repeats(run, "hostile", candidate="pf", baseline="pp"))
    for sample in samples:
        sample.output = {HOSTILE: [HOSTILE, {HOSTILE: HOSTILE}]}
        sample.parts = [{"scorer": HOSTILE, "passed": False, "note": HOSTILE}]
        sample.judgement = [{"criterion": HOSTILE, "score": 2, "reason": HOSTILE}]
        sample.problem = sample.model = HOSTILE
        sample.attempts = [HOSTILE]
    text = page.html(run, samples)
    elements = Elements(text)
    assert len(elements.scripts) == 2, "the contents and the script of the page"
    assert elements.scripts[1] == page._asset("report.js")
    assert {tag for tag, _ in elements.found}.isdisjoint({"img", "iframe", "object", "base"})
    assert not [name for _, found in elements.found for name in found if name.startswith("on")]
    links = [found.get("href") or found.get("src") or "" for _, found in elements.found]
    assert all(link.startswith(("#", "data:image/svg+xml,")) for link in links if link)
    assert "{{ 7 * 7 }}" in text
    assert unpacked(text) == json.loads(json.dumps(contents.contents(plan.cases_of(run), samples)))
    assert unpacked(text)["cases"]["hostile"]["input"] == {HOSTILE: HOSTILE}


def test_a_text_that_utf8_cannot_hold_is_kept() -> None:
    run = a_run(case("lone", input={"ticket": "\ud800"}))
    assert unpacked(page.html(run, []))["cases"]["lone"]["input"] == {"ticket": "\ud800"}


def test_the_policy_allows_the_inline_parts_only() -> None:
    elements = Elements(page.html(a_run(case("one")), []))
    policy = next(found["content"] or "" for _, found in elements.found if "http-equiv" in found)
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy
    assert not [found for _, found in elements.found if "style" in found]


def test_contents_of_held_out_cases_are_not_in_the_file() -> None:
    hidden = case("hidden", held_out=True, tags=["refund"], note="secret note", group="secret-g")
    hidden["input"] = {"ticket": "secret input"}
    hidden["expected"]["exact"] = {"category": "secret expected"}
    run = a_run(hidden, case("open"))
    samples = [
        *repeats(run, "hidden", candidate="pf", baseline="pp", plain="f"),
        *repeats(run, "open", candidate="pf", baseline="pp"),
    ]
    for sample in samples:
        if sample.case == "hidden":
            sample.output = {"category": "secret output"}
            sample.parts = [{"scorer": "schema", "passed": True, "note": "secret part"}]
            sample.judgement = [{"criterion": "a", "score": 3, "reason": "secret reason"}]
            sample.problem, sample.attempts = "secret problem", ["secret-attempt"]
    text = page.html(run, samples)
    assert "secret" not in text
    assert "secret" not in json.dumps(unpacked(text))
    assert set(unpacked(text)["cases"]) == {"open"}
    assert 'data-case="hidden"' in text
    assert "1/2" in text


def test_cases_are_sorted_by_regression_with_broken_must_cases_on_top() -> None:
    names = ["same", "better", "small", "large", "must-same", "must-small", "unscored", "failing"]
    run = a_run(*(case(name, must=name.startswith("must")) for name in names))
    samples = [
        *repeats(run, "same", candidate="ppp", baseline="ppp"),
        *repeats(run, "better", candidate="ppp", baseline="fff"),
        *repeats(run, "small", candidate="ppf", baseline="ppp"),
        *repeats(run, "large", candidate="fff", baseline="ppp"),
        *repeats(run, "must-same", candidate="ppp", baseline="ppp"),
        *repeats(run, "must-small", candidate="ppf", baseline="ppp"),
        *repeats(run, "unscored", candidate="uuu", baseline="ppp"),
        *repeats(run, "failing", candidate="fff", baseline="fff"),
    ]
    rows = {row.case.id: row for row in matrix.rows(plan.cases_of(run), samples)}
    order = ["must-small", "large", "small", "failing", "must-same", "same", "unscored", "better"]
    assert list(rows) == order
    assert rows["must-small"].states == ("changed", "worse", "flaky", "failed", "must")
    assert rows["better"].states == ("changed", "better")
    assert rows["unscored"].states == ("unscored",)
    assert rows["unscored"].change is None, "a repeat without a score is no failure"
    text = page.html(run, samples)
    shown = [found["data-case"] for _, found in Elements(text).found if "data-case" in found]
    assert shown == order


def test_confusion_counts_a_right_alternative_as_expected() -> None:
    run = a_run(case("one"), case("two"), case("three"))
    run.cases["cases"][1]["expected"] = {"exact": {"category": ["refund", "billing"]}}
    samples = [
        *repeats(run, "one", candidate="pf"),
        *repeats(run, "two", candidate="pf"),
        *repeats(run, "three", candidate="u"),
    ]
    samples[1].output = None  # the feature gave no answer
    found, flag = figures.confusions(plan.cases_of(run), samples)
    assert (found.field, flag.field) == ("category", "needs_human")
    assert found.labels == (figures.NO_ANSWER, "billing", "refund")
    assert found.counts == ((0, 0, 0), (1, 2, 0), (0, 0, 1))
    assert found.figures["candidate"][1] == figures.ClassFigures(precision=1.0, recall=2 / 3)
    assert found.figures["candidate"][0].recall is None


def test_prompt_changes_are_shown_with_context_only() -> None:
    before = prompt("v1", system="\n".join(f"line {n}" for n in range(1000)))
    after = before | {"system": before["system"].replace("line 500\n", "line five hundred\n")}
    system, user = prompt_diff.parts(before, after)
    assert [line.kind for line in system.lines] == [
        "hunk",
        *["same"] * 3,
        "removed",
        "added",
        *["same"] * 3,
    ]
    assert (system.added, system.removed, system.hidden) == (1, 1, 0)
    assert user.lines == ()
    removed, _ = prompt_diff.parts(before, before | {"system": ""})
    assert removed.removed == 1000
    assert removed.hidden > 0


@pytest.mark.parametrize(
    ("kind", "decision", "sentence"),
    [
        ("compare", "pass", "Pass: triage v2 shows no regression against v1."),
        ("compare", "regression", "Regression: triage v2 must not replace v1."),
        (
            "compare",
            "not comparable",
            "Not comparable: there is no verdict on triage v2 against v1.",
        ),
        ("alone", "pass", "Pass: triage v2 reaches its floor."),
        ("alone", "regression", "Regression: triage v2 does not reach its floor."),
        ("aa", "pass", "Pass: triage v2 shows no regression against itself."),
        (
            "aa",
            "regression",
            "Regression: triage v2 against itself. This verdict is a false alarm.",
        ),
    ],
)
def test_the_headline_is_the_verdict(kind: str, decision: str, sentence: str) -> None:
    run = a_run(case("one"), kind=kind)
    if kind == "alone":
        del run.arms["baseline"]
    assert words.headline(run, {"decision": decision}) == sentence


def test_a_prompt_below_its_floor_is_no_false_alarm() -> None:
    run = a_run(case("one"), kind="aa")
    cases = suite({("+", "+"): 20, ("-", "-"): 80})
    found = words.headline(run, conclude.as_json(decided(cases, floor=0.5)))
    assert found.startswith("Below the floor: triage v2 against itself.")
    worse = suite({("+", "-"): 20, ("-", "-"): 80})
    found = words.headline(run, conclude.as_json(decided(worse, floor=0.5)))
    assert found.endswith("This verdict is a false alarm.")


def test_the_rate_of_flips_names_what_it_counts() -> None:
    run = a_run(case("one"), kind="aa")
    known = "\n".join(lines(run, a_verdict(flips=0.031), spent_micro=0))
    assert "flips to a regression in 3.1% of random splits" in known
    unknown = "\n".join(lines(run, a_verdict(flips=None), spent_micro=0))
    assert "flips is not known: 50 cases" in unknown


def test_the_summary_holds_the_figures_of_the_verdict() -> None:
    run = a_run(case("one"), provider="sandbox")
    assert list(lines(run, a_verdict(), spent_micro=420_000)) == [
        "Regression: triage v2 must not replace v1.",
        "  The candidate is worse: p = 0.0004, below 0.03.",
        "Candidate v2: 78.0% (73.0% to 83.0%)",
        "Baseline v1: 90.0% (85.0% to 95.0%)",
        f"Floor 75%: {words.floor_failures(a_verdict())}",
        "Difference: -12.0 points (-18.1 to -5.9); one-sided paired t test: p = 0.0004",
        "Smallest drop seen with 90% power: 8.3 points",
        "Must cases broken: broken",
        "Both passes and failures: 12.5% of cases in the candidate, 12.5% of cases in the baseline",
        "Tags that differ, corrected by Holm: refund -25.0 points in 4 cases (p = 0.0120)",
        "Unscored: 0.4% of repeats",
        "The candidate beats plain by 31 points (47.0%)",
        "Spent: $0.42 (estimated $0.50, at most $5.00)",
        "The gate catches a 15-point drop 99 %, cries wolf 3 %",
        words.SANDBOX,
    ]


def test_the_summary_of_two_runs_has_no_gate_and_no_plain_answer() -> None:
    found = a_verdict(baseline=None, difference_points=None, p=None, score_difference=0.02)
    del found["gate"], found["plain_rate"]
    text = "\n".join(lines(a_run(case("one")), found, spent_micro=0, against="v0"))
    assert text.startswith("Regression: triage v2 must not replace v0.")
    assert "gate" not in text
    assert "plain" not in text


def test_a_run_with_one_repeat_names_why_the_gate_has_no_error_rates() -> None:
    run = a_run(case("one"), verdict=a_verdict(gate=None))
    assert run.verdict is not None
    assert words.NO_GATE in "\n".join(lines(run, run.verdict, spent_micro=0))
    assert words.NO_GATE in page.html(run, [])
    assert words.NO_GATE not in page.html(a_run(case("one")), [])


def test_an_unfinished_run_has_a_page_without_a_verdict() -> None:
    run = a_run(case("one"), state="stopped", verdict=None, ended_at=None, note="No room.")
    waiting = Sample(run=run, arm="candidate", case="one", repeat=2)
    text = page.html(run, [*repeats(run, "one", candidate="p"), waiting])
    assert "there is no verdict on triage v2 against v1 yet" in text
    assert "1 of 2 repeats are done. No room." in text


def a_large_run() -> tuple[Run, list[Sample]]:
    """Return a run of 200 cases with three versions and five repeats."""
    run = a_run(*(case(f"case-{number}") for number in range(200)))
    run.arms["v0"] = prompt("v0")
    draw = random.Random(5)
    vocabulary = ["".join(draw.choices("aeinorstlmdg", k=draw.randint(2, 9))) for _ in range(3000)]

    def some(count: int) -> str:
        return " ".join(draw.choices(vocabulary, k=count))

    samples = [
        sample
        for number in range(200)
        for sample in repeats(
            run, f"case-{number}", candidate="ppppf", baseline="ppppp", v0="pfpfp"
        )
    ]
    assert len(samples) == 3000
    for row in run.cases["cases"]:
        row["input"] = {"ticket": some(150)}
    for sample in samples:
        sample.output = {"answer": some(60), "citations": [some(12), some(12)]}
        sample.attempts = [f"{draw.getrandbits(128):032x}"]
    return run, samples


def test_a_large_run_is_a_small_file() -> None:
    """`make bench` measures the time."""
    assert len(page.html(*a_large_run()).encode()) < MOST_BYTES
