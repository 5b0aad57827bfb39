"""The modules that an import of the layer loads."""

from __future__ import annotations

import subprocess
import sys

import pytest

import workers.inference


def test_the_vocabulary_comes_without_the_sdk() -> None:
    code = (
        "import sys; from workers.inference import Cancel, InferenceRequest, RateLimited; "
        "print(sorted(m for m in ('anthropic', 'httpx2', 'genai_prices') if m in sys.modules))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert ran.stdout.strip() == "[]"


def test_the_gates_are_wired_without_the_sdk() -> None:
    code = (
        "import sys, django; django.setup(); from aifeature.services import provider; "
        "print('anthropic' in sys.modules)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert ran.stdout.strip() == "False"


@pytest.mark.parametrize("name", workers.inference.__all__)
def test_every_exported_name_is_there(name: str) -> None:
    assert getattr(workers.inference, name) is not None


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="nonsense"):
        _ = workers.inference.nonsense
