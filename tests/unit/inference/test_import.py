"""The modules that an import of the layer loads."""

from __future__ import annotations

import subprocess
import sys

import pytest

import workers.inference

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("code", "names"),
    [
        (
            "from workers.inference import Cancel, InferenceRequest, RateLimited",
            ("anthropic", "httpx2", "genai_prices"),
        ),
        ("import django; django.setup(); from aifeature.services import provider", ("anthropic",)),
    ],
    ids=["the vocabulary", "the gates"],
)
def test_a_part_of_the_layer_is_imported_without_the_sdk(code: str, names: tuple[str, ...]) -> None:
    code += f"; import sys; print([name for name in {names} if name in sys.modules])"
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert ran.stdout.strip() == "[]"


@pytest.mark.parametrize("name", workers.inference.__all__)
def test_every_exported_name_is_there(name: str) -> None:
    assert getattr(workers.inference, name) is not None


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="nonsense"):
        _ = workers.inference.nonsense
