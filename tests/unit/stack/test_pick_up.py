"""Changes of features are found in their files, checked, and loaded once they are complete."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from project.stack import pick_up
from project.stack.errors import ComponentFailedError, ReloadError
from project.stack.pick_up import PickUp, files, in_short

URL = "http://127.0.0.1:1/"


@pytest.fixture(autouse=True)
def _each_call_polls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pick_up, "POLL_S", 0)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "feature.py").write_text("one")
    return tmp_path


class Steps(list[str]):
    """The steps of a pick-up, in their order."""

    def step(self, name: str) -> Callable[[object], None]:
        return lambda _: self.append(name)


def polled(watch: PickUp, steps: Steps, times: int = 2) -> list[str]:
    """Poll, and return the steps so far."""
    for _ in range(times):
        watch(steps.step("reload"))
    return steps


def test_a_change_is_checked_and_loaded_once(folder: Path) -> None:
    steps = Steps()
    watch = PickUp(folder, steps.step("check"), URL)
    assert polled(watch, steps) == []
    (folder / "labels" / "v1.md").write_text("two")
    assert polled(watch, steps, times=4) == ["check", "reload"]


def test_a_change_is_loaded_when_its_files_are_written(folder: Path) -> None:
    steps = Steps()
    watch = PickUp(folder, steps.step("check"), URL)
    for size in range(5):
        (folder / "labels" / "handbook.md").write_text("x" * size)
        assert polled(watch, steps, times=1) == []
    assert polled(watch, steps, times=1) == ["check", "reload"]


@pytest.mark.parametrize(
    "name",
    [
        *("__pycache__/feature.cpython-311.pyc", ".feature.py.swp", ".#feature.py", "#feature.py#"),
        *("feature.py~", "4913", "feature.py.tmp.17", ".draft/feature.py"),
    ],
)
def test_compiled_and_temporary_files_are_no_change(folder: Path, name: str) -> None:
    before = pick_up.files(folder)
    file = folder / "labels" / name
    file.parent.mkdir(exist_ok=True)
    file.write_text("draft")
    assert pick_up.files(folder) == before


def test_a_removed_feature_is_reported(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    steps = Steps()
    watch = PickUp(folder, steps.step("check"), URL)
    (folder / "labels" / "feature.py").unlink()
    polled(watch, steps)
    assert "feature labels is gone" in capsys.readouterr().out


def test_a_feature_that_was_refused_is_not_checked_again_until_it_changes(folder: Path) -> None:
    steps = Steps()

    def refused(_: object) -> None:
        steps.append("check")
        raise ComponentFailedError("it failed")

    watch = PickUp(folder, refused, URL)
    (folder / "labels" / "v1.md").write_text("two")
    assert polled(watch, steps, times=4) == ["check"]
    (folder / "labels" / "v1.md").write_text("three")
    assert polled(watch, steps, times=4) == ["check", "check"]


def test_a_newer_change_ends_the_check_of_the_one_before(folder: Path) -> None:
    steps = Steps()
    file = folder / "labels" / "v1.md"

    def slow(tick: Callable[[], None]) -> None:
        steps.append("check")
        if steps.count("check") == 1:
            file.write_text("corrected")
        tick()

    watch = PickUp(folder, slow, URL)
    file.write_text("hangs")
    assert polled(watch, steps) == ["check"]
    assert polled(watch, steps) == ["check", "check", "reload"]


def test_the_return_to_the_old_files_is_loaded_after_a_failed_reload(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    steps = Steps()
    file = folder / "labels" / "feature.py"
    watch = PickUp(folder, steps.step("check"), URL)

    def fails(_: object) -> None:
        raise ReloadError("web died")

    file.rename(folder / "old")
    file.write_text("three")
    assert watch.is_changed()
    for _ in range(2):
        watch(fails)
    assert "not loaded everywhere: labels. Save a change to try again. web died" in (
        capsys.readouterr().err
    )
    (folder / "old").rename(file)
    assert polled(watch, steps) == ["check", "check", "reload"]
    assert not watch.is_changed()


def test_the_death_of_another_process_ends_the_stack(folder: Path) -> None:
    watch = PickUp(folder, lambda _: None, URL)
    (folder / "labels" / "v1.md").write_text("two")

    def dies(_: object) -> None:
        raise ComponentFailedError("postgres died")

    watch(dies)
    with pytest.raises(ComponentFailedError):
        watch(dies)


def test_the_first_error_is_shown_with_its_fix() -> None:
    output = (
        "features failed (exit code 1):\nSystemCheckError: System check identified some issues:\n\n"
        "ERRORS:\n?: (aifeature.E007) Feature a has no feature.py.\n\tHINT: Add it.\n"
        "?: (aifeature.E001) Feature b cannot be loaded: it is odd\n\nWARNINGS:\n"
        "?: (aifeature.W011) Feature c has no examples.\n\tHINT: Add three.\n"
    )
    assert pick_up.in_short(output) == (
        "Feature a has no feature.py. 1 more: manage.py check.\n    Add it."
    )
    assert pick_up.in_short("features failed:\nNo space left") == "No space left"


def test_a_folder_that_is_deleted_during_a_poll_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = tmp_path / "one" / "feature.py"
    kept.parent.mkdir()
    kept.write_text("")

    def walk(_folder: Path, _pattern: str) -> Iterator[Path]:
        yield kept
        raise FileNotFoundError

    monkeypatch.setattr(Path, "rglob", walk)
    assert set(files(tmp_path)) == {kept}


@pytest.mark.parametrize("name", ["feature.py", "v1.md", "rules.toml", "released.txt"])
def test_each_kind_of_file_is_seen(tmp_path: Path, name: str) -> None:
    file = tmp_path / "one" / name
    file.parent.mkdir()
    file.write_text("")
    assert set(files(tmp_path)) == {file}


def test_a_check_that_prints_nothing_has_a_sentence() -> None:
    assert in_short("") == "The check failed."
