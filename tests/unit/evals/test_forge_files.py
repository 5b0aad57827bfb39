"""JUnit XML and Markdown for a forge: what they show, and that hostile text is inert in both."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from markdown_it import MarkdownIt

from evals.harness import plan
from evals.harness.pools import Part, Pool, Repeats
from evals.models import Run, Sample
from evals.report import case_results, inert, junit, pull_request, words
from evals.report.case_results import HELD_OUT, CaseResult, Result, Tally
from evals.statistics.data import Outcome
from tests.unit.evals.test_report import a_run, a_verdict, case, repeats

EVIL = (
    "\x00\x1b[31m\ud83d\ufffe\u202e\n\n# @everyone ![x](http://evil.example/x.png) [a](b)"
    " <img src=x> www.evil.example #1 !2 GH-3 deadbeefcafe a@evil.example `` | | `<b>` ]]>"
    " &amp; :x: $x$\n/close\n"
)
HTML = MarkdownIt("commonmark").enable("table")

OUTCOMES = {"broken": ("ppp", "fff"), "worse": ("ppp", "fpf"), "flaky": ("ppp", "pfp")}
"""By case: the repeats of the baseline and of the candidate."""


def a_result(**more: Any) -> Result:
    cases = [
        case("same"),
        case("flaky"),
        case("worse"),
        case("broken", must=True),
        case("lost"),
        case("hidden", held_out=True),
    ]
    run = a_run(*cases)
    samples = [
        *repeats(run, "same", baseline="fff", candidate="fff"),
        *repeats(run, "lost", baseline="ppp", candidate="uuu"),
        *repeats(run, "hidden", baseline="ppp", candidate="fff"),
    ]
    for name, (before, after) in OUTCOMES.items():
        samples += repeats(run, name, baseline=before, candidate=after)
    for sample in samples:
        sample.parts = [{"scorer": "keywords", "passed": False, "note": f"secret of {sample.case}"}]
        sample.problem = "No answer." if sample.state == Sample.State.UNSCORED else ""
        sample.latency_ms, sample.cost_micro, sample.attempts = 500, 10_000, ["a", "b"]
    spent_micro, calls = case_results.spent(run, samples)
    found = Result(
        feature="triage",
        version="v2",
        changed=("prompt",),
        how="It is compared with v1, which the base has.",
        run=run,
        verdict=run.verdict,
        baseline="v1",
        spent_micro=spent_micro,
        calls=calls,
        cases=case_results.of_run(run, samples, run.verdict, Pool()),
    )
    return replace(found, **more)


def parsed(*results: Result) -> dict[str, ET.Element]:
    """The tests of a document by name, after a check of its form."""
    root = ET.fromstring(junit.xml(results))  # noqa: S314 (our own document)
    assert root.tag == "testsuites"
    for suite in root:
        assert suite.tag == "testsuite"
        assert next(each.tag for each in suite) == "properties"
        cases = suite.findall("testcase")
        for name, tag in {"failures": "failure", "errors": "error", "skipped": "skipped"}.items():
            assert suite.get(name) == str(sum(each.find(tag) is not None for each in cases))
        assert suite.get("tests") == str(len(cases))
        assert float(suite.get("time", "")) == pytest.approx(
            sum(float(each.get("time", "")) for each in cases)
        )
        assert all(each.get("name") and each.get("classname") for each in cases)
    for name in ("tests", "failures", "errors"):
        assert root.get(name) == str(sum(int(suite.get(name, "")) for suite in root))
    return {each.get("name", ""): each for each in root.iter("testcase")}


def test_a_case_fails_if_most_of_its_repeats_do_no_longer_pass() -> None:
    found = parsed(a_result())
    failed = {name for name, test in found.items() if test.find("failure") is not None}
    assert failed == {"verdict", "broken", "worse", "hidden"}
    failure = found["broken"].find("failure")
    assert failure is not None
    assert failure.attrib == {
        "type": "may never break",
        "message": "candidate passes 0 of 3, baseline 3 of 3",
    }
    assert failure.text == "keywords: secret of broken"
    skipped = found["lost"].find("skipped")
    assert skipped is not None
    assert skipped.get("message") == "Not scored. No answer."
    assert found["same"].findtext("system-out") == "candidate passes 0 of 3, baseline 0 of 3"
    assert found["same"].get("time") == "1.500"


def test_a_case_without_a_baseline_fails_no_test() -> None:
    alone = CaseResult("one", Tally(0, 3), Tally(0, 0))
    found = parsed(a_result(cases=(alone,)))
    assert found["one"].findtext("system-out") == "candidate passes 0 of 3"
    assert replace(alone, is_broken=True).has_failed


def test_the_verdict_is_a_test_with_its_reasons() -> None:
    reason = "The candidate is worse: p = 0.0004, below 0.03."
    failure = parsed(a_result())["verdict"].find("failure")
    assert failure is not None
    assert (failure.get("type"), failure.text) == ("regression", reason)
    passed = a_result(verdict=a_verdict(decision="pass", reasons=[]), cases=())
    assert list(parsed(passed)["verdict"]) == []
    stopped = a_result(verdict=None, problem="It ran out of its budget.", cases=())
    error = parsed(stopped)["verdict"].find("error")
    assert error is not None
    assert error.text == "It ran out of its budget."
    unchanged = parsed(Result("answer", "v1", (), "The base has the same."))
    assert unchanged["verdict"].find("skipped") is not None
    root = ET.fromstring(junit.xml([a_result()]))  # noqa: S314 (our own document)
    properties = {each.get("name"): each.get("value") for each in root.iter("property")}
    assert properties["verdict"] == "regression"
    assert properties["rate"] == "78.0%"
    assert properties["interval"] == "73.0% to 83.0%"
    assert properties["p"] == "p = 0.0004"


def test_the_summary_has_the_figures_and_the_worst_changes() -> None:
    text = pull_request.markdown([a_result(), Result("answer", "v1", (), "The same.")])
    assert (
        "| `triage v2` | **regression** | 78.0% (73.0% to 83.0%) | 90.0% (85.0% to 95.0%)"
        " | -12.0 (-18.1 to -5.9) | 0.0004 | 8.3 points | \\$0.36 | 72 |\n"
        f"| `answer v1` | {words.UNCHANGED} | - | - | - | - | - | - | - |\n"
    ) in text
    assert "\n- The candidate is worse: p = 0.0004, below 0.03.\n" in text
    worst = [line.split(" |")[0] for line in text.splitlines() if " of 3 | " in line]
    assert worst == ["| `broken` (may never break)", "| `hidden`", "| `worse`", "| `flaky`"]
    assert "| `worse` | 3 of 3 | 1 of 3 | `keywords: secret of worse` |" in text
    assert f"| `hidden` | 3 of 3 | 0 of 3 | `{HELD_OUT}` |" in text
    assert words.SANDBOX not in text
    many = tuple(replace(each, id=f"c{n}") for n in range(4) for each in a_result().cases)
    assert pull_request.markdown([a_result(cases=many)]).count(" of 3 | ") == 2 * 5


def test_held_out_cases_show_no_content() -> None:
    result = a_result()
    for text in (junit.xml([result]).decode(), pull_request.markdown([result])):
        assert "secret of broken" in text
        assert "secret of hidden" not in text
        assert "hidden" in text


def test_a_run_without_a_verdict_and_a_run_of_the_sandbox_are_marked() -> None:
    run = a_run(provider="sandbox")
    text = pull_request.markdown([a_result(run=run, verdict=None, problem="It was interrupted.")])
    assert "| `triage v2` | **no verdict** | - | - | - | - | - | \\$0.36 | 72 |" in text
    assert "\n- It was interrupted.\n" in text
    assert words.SANDBOX in text


def test_outcomes_of_the_base_are_the_baseline_of_the_same_cases() -> None:
    cases = [case("same"), case("edited")]
    run = a_run(*cases)
    samples = [each for name in ("same", "edited") for each in repeats(run, name, candidate="f")]
    hashes = {each.id: plan.case_hash(each) for each in plan.cases_of(run)}
    known = {
        name: Repeats(hash_, name, False, (), (Outcome(True, 1.0),) * 2)
        for name, hash_ in {**hashes, "edited": "another"}.items()
    }
    pool = Pool((Part("1a2b", run.created_at, known, 4, 0, ()),))
    found = {each.id: each.baseline for each in case_results.of_run(run, samples, None, pool)}
    assert found == {"same": Tally(2, 2), "edited": Tally(0, 0)}


def test_calls_that_an_earlier_run_paid_are_not_counted() -> None:
    run = Run(arms={"candidate": {}, "baseline": {"taken_from": "1a2b"}})
    samples = [
        Sample(run=run, arm="candidate", cost_micro=3, attempts=["a", "b"]),
        Sample(run=run, arm="baseline", cost_micro=0, attempts=["c"]),
    ]
    assert case_results.spent(run, samples) == (3, 2)


def test_hostile_text_is_inert() -> None:
    cases = tuple(replace(each, id=f"{each.id}{EVIL}", problem=EVIL) for each in a_result().cases)
    verdict = a_verdict(reasons=[EVIL, f"Other models answered ({EVIL}) than before."])
    result = a_result(cases=cases, verdict=verdict, how=f"It is {EVIL}", feature=EVIL, version=EVIL)
    other = a_result(verdict=None, problem=f"It stopped: {EVIL}")
    assert len(parsed(result, other)) == len(cases) + len(other.cases) + 1
    page = HTML.render(pull_request.markdown([result, other], remarks=[f"The base is {EVIL}"]))
    tags = set(re.findall(r"</?(\w+)", page))
    assert tags <= {"h2", "h3", "p", "ul", "li", "table", "thead", "tbody", "tr", "th", "td"} | {
        *("code", "strong", "em"),
    }
    bare = re.sub(r"<code>.*?</code>", "", page)
    for active in ("@", "#", "!", "http", "www", "evil", "GH-", "deadbeef", "/close", "`", "$x"):
        assert active not in bare
    assert page.count("<tr>") == (1 + 2) + (1 + 4) + (1 + 4)
    rows = re.findall(r"<tr>(.*?)</tr>", page, re.DOTALL)
    assert {row.count("</t") for row in rows} == {len(pull_request.COLUMNS), 4}
    assert not re.search("[\x00-\x08\x1b\u202e\ufffe]", page)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("The rate is 12.5%, below 80%.", "The rate is 12.5%, below 80%."),
        ("The case login-de may break.", "The case login-de may break."),
        ("Read run_1 and a/b, then stop.", "Read `run_1` and `a/b`, then stop."),
        ("1. Not a list", "`1. Not a list`"),
        ("See ... now", "See `...` now"),
        ("", ""),
    ],
)
def test_a_sentence_stays_readable(text: str, shown: str) -> None:
    assert inert.sentence(text) == shown
