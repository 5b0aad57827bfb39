"""Static files over ASGI: complete, with their headers. Other requests pass through."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import iscoroutinefunction

from project.static_files import StaticFilesMiddleware
from tests.integration.api.test_static_production import get

STYLE = "/static/aifeature/site.css"


@pytest.fixture
def served(settings: Any) -> None:
    settings.MIDDLEWARE = ["project.static_files.StaticFilesMiddleware"]
    settings.WHITENOISE_USE_FINDERS = True


def test_serves_a_file_with_its_type_and_validators(served: None) -> None:
    response = get(STYLE)
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/css")
    assert "prefers-color-scheme" in response.text
    assert int(response.headers["content-length"]) == len(response.content)

    again = get(STYLE, **{"if-modified-since": response.headers["last-modified"]})
    assert (again.status_code, again.content) == (304, b"")


def test_a_missing_static_folder_is_reported(served: None, settings: Any, tmp_path: Path) -> None:
    settings.STATIC_ROOT = tmp_path / "none"
    assert get(STYLE).status_code == 200
    settings.WHITENOISE_USE_FINDERS = False
    with pytest.warns(UserWarning, match="No directory at"):
        assert get(STYLE).status_code == 404


def test_lets_everything_else_through(served: None) -> None:
    assert get("/healthz").text == "ok"


def test_is_asynchronous_when_what_it_wraps_is() -> None:
    async def below(_: Any) -> Any: ...

    assert iscoroutinefunction(StaticFilesMiddleware(below))
