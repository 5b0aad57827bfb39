"""A browser test waits for what it asserts: a page changes some time after a click."""

from __future__ import annotations

import re
from pathlib import Path

AT_ONCE = re.compile(
    r"assert .*(?<!objects)\.(is_(visible|hidden|checked|enabled|disabled)|inner_text|text_content"
    r"|input_value|get_attribute|title|count|all_inner_texts|all_text_contents)\("
)


def test_no_browser_test_reads_an_element_at_once() -> None:
    found = [
        f"{path.name}:{number}: {line.strip()}"
        for path in sorted((Path(__file__).parents[1] / "browser").glob("test_*.py"))
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
        if AT_ONCE.search(line)
    ]
    assert found == [], "use expect(…) of Playwright, which waits"
