"""The path of a Unix socket has a limit of about a hundred bytes. A checkout's path has none."""

from __future__ import annotations

import shutil
from pathlib import Path

from project.stack.postgres import SOCKET_LIMIT, SOCKET_NAME, socket_folder


def test_a_short_path_keeps_the_socket_beside_the_data() -> None:
    assert socket_folder(Path("/srv/app")) == Path("/srv/app/socket")


def test_a_long_path_gets_a_short_one_of_its_own() -> None:
    places = [socket_folder(Path("/srv") / ("long" * 30) / name) for name in ("one", "two")]
    try:
        assert places[0] != places[1]
        assert all(len(str(place / SOCKET_NAME)) <= SOCKET_LIMIT for place in places)
        assert all(place.stat().st_mode & 0o077 == 0 for place in places)
    finally:
        for place in places:
            shutil.rmtree(place)
