"""Static files as production serves them: hashed names, cached for ever, compressed."""

from __future__ import annotations

import asyncio
import gzip
from pathlib import Path
from typing import Any

import httpx2
import pytest
from django.contrib.staticfiles.storage import staticfiles_storage
from django.core.asgi import get_asgi_application
from django.core.management import call_command

from tests.integration.event_loop import client_of

NAME = "aifeature/site.css"


@pytest.fixture
def collected(settings: Any, tmp_path: Path) -> None:
    """The output of `collectstatic` for one small folder; all packages would take a minute."""
    source = tmp_path / "source"
    (source / "aifeature").mkdir(parents=True)
    (source / NAME).write_text("body { color: black; }\n" * 200)
    settings.STATICFILES_DIRS = [source]
    settings.STATICFILES_FINDERS = ["django.contrib.staticfiles.finders.FileSystemFinder"]
    settings.STATIC_ROOT = tmp_path / "static"
    settings.WHITENOISE_USE_FINDERS = False
    settings.MIDDLEWARE = ["project.static_files.StaticFilesMiddleware"]
    settings.STORAGES = {
        **settings.STORAGES,
        "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
    }
    call_command("collectstatic", interactive=False, verbosity=0)


def get(path: str, **headers: str) -> httpx2.Response:
    async def scene() -> httpx2.Response:
        async with (
            client_of(get_asgi_application()) as client,
            client.stream("GET", path, headers=headers) as response,
        ):
            response._content = b"".join([part async for part in response.aiter_raw()])
            return response

    return asyncio.run(scene())


def test_a_page_links_to_a_name_that_changes_with_the_content(collected: None) -> None:
    address = staticfiles_storage.url(NAME)
    assert address != f"/static/{NAME}"
    response = get(address, **{"accept-encoding": "identity"})
    assert response.status_code == 200
    assert "immutable" in response.headers["cache-control"]
    assert "max-age=315360000" in response.headers["cache-control"]
    assert "content-encoding" not in response.headers


def test_it_is_compressed_if_the_client_accepts_that(collected: None) -> None:
    response = get(staticfiles_storage.url(NAME), **{"accept-encoding": "gzip, br"})
    assert response.headers["content-encoding"] == "gzip"
    assert response.headers["vary"] == "Accept-Encoding"
    assert int(response.headers["content-length"]) == len(response.content)
    assert gzip.decompress(response.content).startswith(b"body")


def test_the_plain_name_is_kept_for_a_minute_only(collected: None) -> None:
    response = get(f"/static/{NAME}", **{"accept-encoding": "identity"})
    assert response.status_code == 200
    assert "immutable" not in response.headers["cache-control"]
    assert "max-age=60" in response.headers["cache-control"]
