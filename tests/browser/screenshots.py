"""Takes a picture of every page in every state: light, dark, and on a phone.

    python -m tests.browser.screenshots OUT_DIR [NAME...]

It starts its own PostgreSQL and Valkey and needs Chromium. With names it takes only those pictures.
They are for people; no test checks them. `deploy/pictures/stream.png` is `streaming-light.png`.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from project.stack.throwaway import servers, stand_in_settings

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from tests.browser.shots import Shot

DISPLAYS: dict[str, dict[str, Any]] = {
    "light": {"color_scheme": "light", "viewport": {"width": 1000, "height": 620}},
    "dark": {"color_scheme": "dark", "viewport": {"width": 1000, "height": 620}},
    "phone": {"color_scheme": "light", "viewport": {"width": 360, "height": 740}},
}


def main() -> int:
    """Take the pictures. Return 2 if no folder is given or there is no browser."""
    if len(sys.argv) < 2:
        print(__doc__)  # noqa: T201
        return 2
    with servers() as found:
        # No user opens pages so quickly.
        os.environ.update({**stand_in_settings(), **found, "WEB_REQUESTS_PER_SECOND": "1000"})
        os.environ["DJANGO_SETTINGS_MODULE"] = "project.settings"
        import django  # noqa: PLC0415 (the environment must be there first)

        django.setup()
        from django.core.management import call_command  # noqa: PLC0415

        call_command("migrate", verbosity=0, interactive=False)
        return _take(Path(sys.argv[1]), set(sys.argv[2:]))


def _take(folder: Path, only: set[str]) -> int:
    from tests.browser import live, shots  # noqa: PLC0415 (Django is ready only now)

    path = live.find_chromium()
    if path is None:
        print(live.NO_CHROMIUM)  # noqa: T201
        return 2
    folder.mkdir(parents=True, exist_ok=True)
    with live.running_browser(path) as browser, live.running_site() as site:
        for shot in shots.shots():
            shot.prepare()  # before each picture, since earlier ones show other data
            if only and shot.name not in only:
                continue
            for display, options in DISPLAYS.items():
                _shoot(browser, site.url, shot, options, folder / f"{shot.name}-{display}.png")
    return 0


def _shoot(browser: Browser, url: str, shot: Shot, options: dict[str, Any], to: Path) -> None:
    from tests.browser import scenes  # noqa: PLC0415

    context = browser.new_context(
        base_url=url, locale="en-GB", java_script_enabled=shot.has_scripts, **options
    )
    if shot.user is not None:
        scenes.sign_in(context, shot.user, url)
    page = context.new_page()
    page.goto(shot.path)
    shot.act(page)
    page.screenshot(path=to, full_page=shot.is_whole)
    context.close()
    print(to)  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
