"""Files and modules that documents and docstrings name exist."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("aifeature", "workers", "project", "evals", "deploy", "tests", "docs")
FILES = [
    path.as_posix()
    for folder in FOLDERS
    for path in (ROOT / folder).rglob("*.*")
    if "__pycache__" not in path.parts
] + [path.as_posix() for path in ROOT.glob("*.*")]
PAGES = sorted(file for file in FILES if file.endswith(".md"))
CODE = sorted(
    file for file in FILES if file.endswith((".py", ".sql", ".lua")) and "/migrations/" not in file
)
FILE = re.compile(r"`((?:[\w.-]+/)*[\w-]+\.(?:py|sql|lua|js|html|md))(?:::[\w:]+)?`")
TEST = re.compile(r"`(?:[\w./-]+::)?(test_\w+)(?:\[[^`]*\])?`")
NAME = re.compile(r"`((?:aifeature\.)?services(?:\.\w+)+|(?:aifeature|workers|project)\.\w+\.\w+)`")


def missing(text: str) -> Iterator[str]:
    """The names in a text that lead nowhere."""
    for name in FILE.findall(text):
        if not any(file.endswith(f"/{name}") for file in FILES):
            yield name
    for name in TEST.findall(text):
        if name not in known_tests():
            yield name
    for name in NAME.findall(text):
        if not exists(f"aifeature.{name}" if name.startswith("services") else name):
            yield name


@cache
def known_tests() -> set[str]:
    """The names of all tests, and of the modules that hold them."""
    modules = [Path(file) for file in FILES if re.search(r"/tests/.*/test_\w+\.py$", file)]
    return {module.stem for module in modules} | {
        name for module in modules for name in re.findall(r"def (test_\w+)\(", module.read_text())
    }


def exists(name: str) -> bool:
    """Whether a dotted name is a module, or something that a module holds."""
    if source_of(name):
        return True
    module, _, attribute = name.rpartition(".")
    source = source_of(module)
    return source is not None and re.search(rf"\b{attribute}\b", source.read_text()) is not None


def source_of(module: str) -> Path | None:
    path = ROOT / module.replace(".", "/")
    return next((p for p in (path.with_suffix(".py"), path / "__init__.py") if p.exists()), None)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(Path(page).relative_to(ROOT)))
def test_a_page_names_what_exists(page: str) -> None:
    assert list(missing(Path(page).read_text(encoding="utf-8"))) == []


def test_the_code_names_what_exists() -> None:
    found = {
        (file, name) for file in CODE for name in missing(Path(file).read_text(encoding="utf-8"))
    }
    assert found == set()


def test_a_name_that_leads_nowhere_is_found() -> None:
    good = [
        *("project/settings.py", "services.dispatch.publish", "workers.retry.decide"),
        *("test_docs", "test_docs.py::test_a_page_names_what_exists", "test_gated.py"),
    ]
    gone = ["services/gone.py", "test_gone", "services.texts.gone", "workers.gone.decide"]
    assert list(missing(" ".join(f"`{name}`" for name in [*good, *gone]))) == gone
