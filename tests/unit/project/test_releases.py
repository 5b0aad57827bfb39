"""A copy of the code, made while other processes run it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import releases


def test_a_file_that_a_process_is_compiling_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled = tmp_path / "checkout" / "project" / "__pycache__"
    compiled.mkdir(parents=True)
    (compiled / "a.cpython-311.pyc").write_bytes(b"")
    # Listed, and gone when it must be copied.
    (compiled / "b.cpython-311.pyc.140234").symlink_to("renamed")
    monkeypatch.setattr(releases, "CHECKOUT", tmp_path / "checkout")
    monkeypatch.setattr(releases, "PARTS", ("project",))

    release = releases.next_release(tmp_path / "release")

    copied = (release.folder / "project" / "__pycache__").iterdir()
    assert [file.name for file in copied] == ["a.cpython-311.pyc"]
