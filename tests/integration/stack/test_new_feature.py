"""A new feature consists of two folders, and a running local stack loads it."""

from __future__ import annotations

import hashlib
import html
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest

from project.stack.demo import sign_in
from project.stack.local_dir import LocalDir
from project.stack.signals import wait_until
from tests.releases import Release, next_release

from .conftest import RunningStack

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

FOLDERS = ("aifeature/features/labels/", "evals/suites/labels/")
TEXT = "The export fails with an error since Monday. We need it today."
BOUND_S = 90.0


def tree(folder: Path) -> dict[str, str]:
    """Return the digest of each file, without compiled ones."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }


def printed(stack: RunningStack, pattern: str) -> str:
    """Return the group of the pattern in what the stack printed."""
    match = re.search(pattern, stack.text())
    assert match, stack.text()
    return match[1]


def by_api(url: str, token: str) -> int:
    """Submit a job with the token of a user, and return the status of the answer."""
    with httpx2.Client(
        base_url=f"{url}/api/v1",
        headers={"Authorization": f"Bearer {token}"},
        timeout=BOUND_S,
        trust_env=False,
    ) as client:
        return client.post("/features/labels/jobs", json={"input": {"text": TEXT}}).status_code


def by_page(url: str, password: str) -> tuple[str, dict[str, Any]]:
    """Submit the form as a browser does. Return the text of the job's page at its end, and it."""
    with httpx2.Client(base_url=url, timeout=BOUND_S, trust_env=False) as client:
        sign_in(client, "staff", password)
        form = client.get("/f/labels/")
        assert "A question" in form.text, "its examples are buttons"
        hidden = dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', form.text))
        field = re.search(r'<textarea[^>]* name="([^"]+)"', form.text)
        assert field, form.text
        sent = client.post(
            "/f/labels/", data={**hidden, field[1]: TEXT}, headers={"Origin": str(url)}
        )
        assert sent.status_code == 303, sent.text
        where, pages = sent.headers["location"], list[str]()

        def has_ended() -> bool:
            pages.append(html.unescape(client.get(where).text))
            return 'data-state="succeeded"' in pages[-1]

        assert wait_until(has_ended, timeout_s=BOUND_S), pages[-1]
        job: dict[str, Any] = client.get(f"/api/v1/jobs/{where.rstrip('/').split('/')[-1]}").json()
        return pages[-1], job


def start_feature(release: Release, local: LocalDir) -> None:
    """Run `manage.py startfeature labels` beside the running stack."""
    done = subprocess.run(
        [sys.executable, "manage.py", "startfeature", "labels"],
        cwd=release.folder,
        env={"LOCAL_DIR": str(local.root), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_a_new_feature_runs_in_a_stack_that_was_up_and_changes_no_other_file(
    tmp_path: Path, local: LocalDir, start: Callable[..., RunningStack]
) -> None:
    release = next_release(tmp_path / "copy")
    before = tree(release.folder)
    stack = start("manage.py", "stack", cwd=release.folder)
    stack.wait_for("Ctrl-C stops")
    start_feature(release, local)
    stack.wait_for("feature labels is ready: ")

    url = printed(stack, r"export URL=(\S+)")
    assert printed(stack, r"feature labels is ready: (\S+)") == f"{url}/f/labels/"
    command = "python -m evals run labels --prompt v1"
    assert printed(stack, r"labels: staff only\. .* Evaluate it: (.*)") == command
    assert by_api(url, printed(stack, r"export TOKEN=(\S+)")) == 404, "users get it with evidence"
    page, job = by_page(url, printed(stack, r"sign in as staff +(\S+)"))
    assert (job["status"], job["prompt_version"]) == ("succeeded", "v1")
    # The stand-in errs at times, by the random marker of the fence.
    assert job["result"]["kind"] in {"question", "problem", "other"}
    assert f">{job['result']['kind'].capitalize()}<" in page
    assert job["result"]["gist"]
    assert "summarize: staff only" not in stack.text(), "the recorded evidence was loaded"

    after = tree(release.folder)
    assert before.items() <= after.items()
    added = sorted(after.keys() - before.keys())
    assert [name for name in added if not name.startswith(FOLDERS)] == []
    assert {name.rpartition("/")[2] for name in added} == {
        *("__init__.py", "feature.py", "v1.md", "cases.jsonl", "suite.toml")
    }
