from __future__ import annotations

import gc
import subprocess
import sys

import pytest

from project import loading
from project.stack.local_dir import CHECKOUT


def test_garbage_is_collected_again_after_the_outermost_load() -> None:
    with loading.uncollected():
        with loading.uncollected():
            assert not gc.isenabled()
        assert not gc.isenabled()
    assert gc.isenabled()


@pytest.mark.slow
def test_a_celery_process_loads_all_features_and_no_urls() -> None:
    """A task after a release has replaced the files needs nothing of the new release."""
    script = """
import gc, sys, project.celery
project.celery.app.loader.import_default_modules()
from aifeature import registry
loaded = set(sys.modules)
assert gc.isenabled()
assert registry.all_features() and set(sys.modules) == loaded
assert "workers.tasks" in loaded and "project.urls" not in loaded
"""
    subprocess.run([sys.executable, "-c", script], cwd=CHECKOUT, check=True, timeout=60)
