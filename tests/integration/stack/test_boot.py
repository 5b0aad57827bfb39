"""A process that cannot do its work reports the reason in one line and ends. Others start."""

from __future__ import annotations

import os
import resource
import runpy
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from project import file_limit
from project.stack.components import GUNICORN_CONFIG
from project.stack.local_dir import CHECKOUT
from tests.integration.database.test_odd_databases import database_of
from tests.integration.web.test_behind_a_proxy import asked
from tests.product import started, stores


def lines(log: str) -> list[str]:
    return [line for line in log.splitlines() if " boot: " in line]


@pytest.mark.timeout(300)
def test_no_process_starts_on_a_database_that_cannot_serve_it(
    committed: None, tmp_path: Path
) -> None:
    head, mark, query = stores()["DATABASE_URL"].partition("?")
    with database_of("LATIN1") as name:
        url = f"{head.rpartition('/')[0]}/{name}{mark}{query}"
        for log in logs_of_refused_starts(
            "web", "worker-llm", "beat", folder=tmp_path, DATABASE_URL=url
        ):
            (line,) = lines(log)
            assert "UTF8" in line


@pytest.mark.timeout(300)
def test_no_process_starts_with_values_that_cannot_work(committed: None, tmp_path: Path) -> None:
    values = {"REDIS_URL": "redis://cache/0?db=1", "FORWARDED_ALLOW_IPS": "*"}
    for log in logs_of_refused_starts("web", "worker-llm", "beat", folder=tmp_path, **values):
        for name in values:
            assert log.count(f"{name}: ") == 1, log


def logs_of_refused_starts(*names: str, folder: Path, **env: str) -> list[str]:
    """Start processes, which must end with an error and no traceback."""
    env |= {"WEB_BIND": f"unix:{folder}/web.sock", "WEB_CONCURRENCY": "1"}
    with started(*names, logs=folder, env=env) as found:
        for process in found.values():
            assert process.ended() != 0
            assert "Traceback" not in process.log(), process.log()
        return [process.log() for process in found.values()]


NEED = st.integers(300, 100_000)
LIMIT = st.integers(64, 200_000) | st.just(resource.RLIM_INFINITY)


def above(limit: int) -> float:
    return float("inf") if limit == resource.RLIM_INFINITY else limit


@given(soft=LIMIT, hard=LIMIT, need=NEED)
def test_the_limit_of_open_files_is_raised_as_far_as_it_goes(
    soft: int, hard: int, need: int
) -> None:
    soft, hard = sorted((soft, hard), key=above)
    limits = [soft, hard]

    def set_to(_: int, given: tuple[int, int]) -> None:
        limits[:] = given

    with pytest.MonkeyPatch.context() as patch:
        fake = SimpleNamespace(
            RLIMIT_NOFILE=0,
            RLIM_INFINITY=resource.RLIM_INFINITY,
            getrlimit=lambda _: tuple(limits),
            setrlimit=set_to,
        )
        patch.setattr(file_limit, "resource", fake)
        patch.setattr(file_limit, "needed", lambda: need)
        told = file_limit.problem()
    assert above(limits[0]) >= min(need, above(hard))
    assert above(limits[0]) >= above(soft), "it was not lowered"
    assert limits[1] == hard
    assert bool(told) == (above(hard) < need)
    assert not told or (str(need) in told and str(hard) in told)


def test_the_need_follows_the_requests_that_may_be_under_way(settings: Any) -> None:
    before = file_limit.needed()
    settings.AIFEATURE = {**settings.AIFEATURE, "REQUESTS_UNDER_WAY": 4_000}
    assert file_limit.needed() > max(before, 20_000)


@pytest.mark.timeout(200)
def test_a_web_process_with_too_low_a_limit_logs_a_warning_and_serves(
    committed: None, tmp_path: Path
) -> None:
    place = tmp_path / "web.sock"
    code = (
        "import os, resource, sys;"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (256, 512));"
        "os.execv(sys.argv[1], sys.argv[1:])"
    )
    env = {"WEB_BIND": f"unix:{place}", "WEB_CONCURRENCY": "1"}
    with started("web", logs=tmp_path, env=env, before=(sys.executable, "-c", code)) as found:
        found["web"].until(lambda: asked(place, "/healthz") == 200)
        (line,) = lines(found["web"].log())
    assert "RLIMIT_NOFILE is 512" in line
    assert "LimitNOFILE" in line


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("WEB_CONCURRENCY", "many"),
        ("WEB_CONCURRENCY", "0"),
        ("WEB_CONCURRENCY", "-1"),
        ("WEB_GRACEFUL_TIMEOUT", "1.5"),
        ("WEB_BIND", ","),
        ("WEB_BIND", " "),
        ("WEB_BIND", "127.0.0.1:port"),
        ("WEB_BIND", "127.0.0.1:99999"),
        ("WEB_BIND", "127.0.0.1:8000,unix:"),
    ],
)
def test_gunicorn_names_a_variable_that_it_cannot_use(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit, match=f"^{name}: "):
        runpy.run_path(GUNICORN_CONFIG)


def test_for_gunicorn_too_a_value_may_come_from_a_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "value"
    file.write_text("7\n")
    monkeypatch.setenv("WEB_CONCURRENCY_FILE", str(file))
    assert runpy.run_path(GUNICORN_CONFIG)["workers"] == 7
    file.unlink()
    with pytest.raises(SystemExit, match=r"^WEB_CONCURRENCY_FILE: cannot read"):
        runpy.run_path(GUNICORN_CONFIG)


@pytest.mark.parametrize("name", ["WEB_CONCURRENCY", "WEB_GRACEFUL_TIMEOUT", "WEB_BIND"])
def test_for_gunicorn_too_an_empty_variable_is_unset(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.delenv(name, raising=False)
    unset = runpy.run_path(GUNICORN_CONFIG)
    monkeypatch.setenv(name, "")
    empty = runpy.run_path(GUNICORN_CONFIG)
    for setting in ("workers", "graceful_timeout", "bind"):
        assert empty[setting] == unset[setting]


def test_the_main_process_leaves_the_protocol_to_its_workers() -> None:
    """HUP would not reload the modules that the main process has imported."""
    code = (
        f"import runpy, sys; runpy.run_path({GUNICORN_CONFIG!r});"
        "import deploy.web_worker; print(sorted(m for m in sys.modules if m.startswith('deploy.')))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=CHECKOUT,
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "['deploy.boot_check', 'deploy.web_worker']"
