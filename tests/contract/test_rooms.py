"""The rooms of the services list their public names, and stay small enough to be read.

Which room may import which, and by which names, is checked by `make check` (pyproject.toml).
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from aifeature import services
from tests.contract.doors import listed

FOLDER = Path(services.__file__).parent
ROOMS = sorted(path.parent.name for path in FOLDER.glob("*/__init__.py"))
SIZE_LIMIT = re.compile(r"^Size limit: ([\d,]+) lines\.$", re.MULTILINE)
PUBLIC = re.compile(r"^Public: .+?(?=\n\n|\Z)", re.MULTILINE | re.DOTALL)
NAME = re.compile(r"`(\w+)`")


def docstring(room: str) -> str:
    source = (FOLDER / room / "__init__.py").read_text(encoding="utf-8")
    return ast.get_docstring(ast.parse(source)) or ""


def test_every_module_is_in_a_room() -> None:
    assert [path.name for path in FOLDER.glob("*.py")] == ["__init__.py"]
    assert len(ROOMS) > 10


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_lists_its_public_names(room: str) -> None:
    public = PUBLIC.search(docstring(room))
    assert public, f"the docstring of {room} has no paragraph 'Public: ...'"
    assert set(NAME.findall(public[0])) <= listed(f"aifeature.services.{room}")


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_keeps_its_size_limit(room: str) -> None:
    """Over the limit: move a concern to its own room, or raise the limit and give the reason."""
    found = SIZE_LIMIT.search(docstring(room))
    assert found, f"the docstring of {room} has no line 'Size limit: N lines.'"
    files = (FOLDER / room).rglob("*.py")
    lines = sum(len(file.read_text(encoding="utf-8").splitlines()) for file in files)
    assert lines <= int(found[1].replace(",", "")), lines


@pytest.mark.parametrize("layer", ["admin", "api", "web"])
def test_views_hold_no_sql(layer: str) -> None:
    """Queries by hand belong to the models."""
    files = (FOLDER.parent / layer).rglob("*.py")
    assert [file.name for file in files if ".cursor(" in file.read_text(encoding="utf-8")] == []
