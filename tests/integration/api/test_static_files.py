"""Static files over ASGI: whole, with their headers, and out of the way of everything else."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, cast

import httpx2
import pytest
from asgiref.sync import iscoroutinefunction
from django.core.asgi import get_asgi_application

from project.static_files import StaticFilesMiddleware

STYLE = "/static/aifeature/site.css"


@pytest.fixture
def served(settings: Any) -> None:
    settings.MIDDLEWARE = ["project.static_files.StaticFilesMiddleware"]
    settings.WHITENOISE_USE_FINDERS = True


def get(path: str, method: str = "GET", **headers: str) -> httpx2.Response:
    async def scene() -> httpx2.Response:
        transport = httpx2.ASGITransport(app=cast("Any", get_asgi_application()))
        async with httpx2.AsyncClient(transport=transport, base_url="http://testserver") as client:
            names = {name.replace("_", "-"): value for name, value in headers.items()}
            return await client.request(method, path, headers=names)

    return asyncio.run(scene())


def test_serves_a_file_with_its_type_and_validators(served: None) -> None:
    response = get(STYLE)
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/css")
    assert "prefers-color-scheme" in response.text
    assert int(response.headers["content-length"]) == len(response.content)

    again = get(STYLE, if_modified_since=response.headers["last-modified"])
    assert (again.status_code, again.content) == (304, b"")


def test_the_folder_of_collectstatic_is_missed_only_where_it_is_needed(
    served: None, settings: Any, tmp_path: Path
) -> None:
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
