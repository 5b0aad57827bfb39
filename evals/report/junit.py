"""Results as JUnit XML, which forges read.

A suite for each feature and a test for each case. Problems of cases are hostile text: characters
that XML does not permit are replaced.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final
from xml.etree import ElementTree as ET

from aifeature import shares
from evals.report import words
from evals.report.case_results import CaseResult, Result
from evals.statistics.findings import p_value

NOT_IN_XML: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""The characters outside of `Char` in XML 1.0."""

VERDICT: Final = "verdict"
LONGEST: Final = 2_000
"""Characters of a text that is shown."""


def write(file: Path, results: Sequence[Result]) -> None:
    """Write the results. Folders are created."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(xml(results))


def xml(results: Sequence[Result]) -> bytes:
    """Return the results as a document in UTF-8."""
    root = ET.Element("testsuites", name="evals")
    for result in results:
        root.append(_suite(result))
    _sum_up(root)
    ET.indent(root)
    found: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return found + b"\n"


def _suite(result: Result) -> ET.Element:
    suite = ET.Element("testsuite", name=_clean(f"evals.{result.feature}"))
    if result.run:
        suite.set("timestamp", f"{result.run.created_at:%Y-%m-%dT%H:%M:%S}")
    properties = ET.SubElement(suite, "properties")
    for name, value in _properties(result).items():
        ET.SubElement(properties, "property", name=name, value=_clean(value))
    suite.append(_verdict(result))
    suite.extend(_case(result, case) for case in sorted(result.cases, key=lambda each: each.id))
    _sum_up(suite, skipped="skipped")
    return suite


def _properties(result: Result) -> dict[str, str]:
    found = {
        "version": result.version,
        "baseline": result.baseline,
        "changed": ", ".join(result.changed),
        "compared": result.how,
        "verdict": result.verdict["decision"] if result.verdict else "",
    }
    if result.verdict and (figures := result.verdict["candidate"]):
        found["rate"] = shares.percent(figures["rate"])
        found["interval"] = shares.span(figures["interval"])
    if result.verdict and result.verdict["p"] is not None:
        found["p"] = p_value(result.verdict["p"])
    return {name: value for name, value in found.items() if value}


def _verdict(result: Result) -> ET.Element:
    test = _test(result, VERDICT, 0.0)
    if result.run is None:
        ET.SubElement(test, "skipped", message=words.UNCHANGED)
    elif result.verdict is None:
        _add(test, "error", "no verdict", result.problem)
    elif result.verdict["decision"] != "pass":
        _add(test, "failure", result.verdict["decision"], "\n".join(result.verdict["reasons"]))
    return test


def _case(result: Result, case: CaseResult) -> ET.Element:
    test = _test(result, case.id, case.seconds)
    passes = f"candidate passes {case.candidate}"
    if case.baseline.scored:
        passes += f", baseline {case.baseline}"
    if case.has_failed:
        _add(
            test, "failure", "may never break" if case.is_broken else "worse", case.problem, passes
        )
    elif not case.candidate.scored:
        ET.SubElement(test, "skipped", message=_clean(f"Not scored. {case.problem}"))
    else:
        ET.SubElement(test, "system-out").text = passes
    return test


def _test(result: Result, name: str, seconds: float) -> ET.Element:
    of = _clean(f"evals.{result.feature}")
    return ET.Element("testcase", name=_clean(name), classname=of, time=f"{seconds:.3f}")


def _add(test: ET.Element, tag: str, kind: str, text: str, message: str = "") -> None:
    first = message or text.partition("\n")[0]
    ET.SubElement(test, tag, type=kind, message=_clean(first)).text = _clean(text)


def _sum_up(element: ET.Element, **more: str) -> None:
    """Set the numbers of the tests below an element, and the sum of their times."""
    tests = list(element.iter("testcase"))
    element.set("tests", str(len(tests)))
    for attribute, tag in {"failures": "failure", "errors": "error", **more}.items():
        element.set(attribute, str(sum(test.find(tag) is not None for test in tests)))
    element.set("time", f"{sum(float(test.get('time', 0)) for test in tests):.3f}")


def _clean(text: str) -> str:
    """Return a text that XML can hold. The library escapes the rest."""
    found = NOT_IN_XML.sub("\ufffd", text)
    return found if len(found) <= LONGEST else f"{found[: LONGEST - 1]}…"
