"""Takes a picture of every page in every state: light, dark, and on a phone.

    python -m tests.browser.screenshots OUT_DIR [NAME...]

It starts PostgreSQL and Valkey of its own, so nothing else must run; it needs a chromium. With
names it takes only those. Look at the pictures: nothing here judges them. `streaming-light.png`
is kept as `deploy/pictures/stream.png`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from project.stack.throwaway import servers, stand_in_settings

if TYPE_CHECKING:
    from django.contrib.auth.models import User
    from playwright.sync_api import Browser, Page

DISPLAYS: dict[str, dict[str, Any]] = {
    "light": {"color_scheme": "light", "viewport": {"width": 1000, "height": 620}},
    "dark": {"color_scheme": "dark", "viewport": {"width": 1000, "height": 620}},
    "phone": {"color_scheme": "light", "viewport": {"width": 360, "height": 740}},
}


@dataclass(frozen=True, slots=True)
class Shot:
    """A page to take a picture of."""

    name: str
    path: str
    user: User | None = None
    act: Callable[[Page], object] = lambda _: None
    """What the person does before the picture."""

    prepare: Callable[[], object] = lambda: None
    """Makes what this picture and all later ones show."""

    has_scripts: bool = True
    """Whether the browser runs JavaScript."""


def main() -> int:
    """Take the pictures.

    Returns:
        The exit code: 2 when no folder was named or there is no browser.
    """
    if len(sys.argv) < 2:
        print(__doc__)  # noqa: T201
        return 2
    with servers() as found:
        # Nobody looks at pages as quickly as this does.
        os.environ.update({**stand_in_settings(), **found, "WEB_REQUESTS_PER_SECOND": "1000"})
        os.environ["DJANGO_SETTINGS_MODULE"] = "project.settings"
        import django  # noqa: PLC0415 (the environment must be there first)

        django.setup()
        from django.core.management import call_command  # noqa: PLC0415

        call_command("migrate", verbosity=0, interactive=False)
        return _take(Path(sys.argv[1]), set(sys.argv[2:]))


def _take(folder: Path, only: set[str]) -> int:
    from tests.browser import live  # noqa: PLC0415 (Django is ready only now)

    path = live.find_chromium()
    if path is None:
        print(live.NO_CHROMIUM)  # noqa: T201
        return 2
    folder.mkdir(parents=True, exist_ok=True)
    shots = _shots()
    with live.running_browser(path) as browser, live.running_site() as site:
        for shot in shots:
            shot.prepare()  # what later pictures show is not yet so in earlier ones
            if only and shot.name not in only:
                continue
            for look, options in DISPLAYS.items():
                _shoot(browser, site.url, shot, options, folder / f"{shot.name}-{look}.png")
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
    page.screenshot(path=to, full_page=True)
    context.close()
    print(to)  # noqa: T201


def _shots() -> list[Shot]:
    from aifeature.models import Status  # noqa: PLC0415
    from aifeature.reasons import WaitReason  # noqa: PLC0415
    from aifeature.services import texts  # noqa: PLC0415
    from tests.browser import scenes  # noqa: PLC0415

    scenes.open_features()
    ada, newcomer = scenes.person("ada"), scenes.person("bo")
    staff = scenes.person("sam", is_staff=True, is_superuser=True)
    jobs = {status: scenes.job(ada, status, age=timedelta(hours=1)) for status in Status}
    for number in range(25):
        scenes.job(
            ada,
            Status.SUCCEEDED,
            age=timedelta(days=1, hours=number),
            document=f"Request {number}: the weekly report of the help desk is late again.",
        )
    read = scenes.job(ada, Status.CANCELLED, cancelled_by="user", partial_text=scenes.READ)
    held = scenes.job(
        ada,
        Status.QUEUED,
        wait_reason=WaitReason.FEATURE_PAUSED,
        error_message=texts.WAITING[WaitReason.FEATURE_PAUSED],
    )
    states = [Shot(f"job-{s.value}", f"/jobs/{job.id}/", ada) for s, job in jobs.items()]
    failed, form = f"/jobs/{jobs[Status.FAILED].id}/", "/f/summarize/"
    return [
        Shot("login", "/accounts/login/"),
        Shot("login-ended", form, ada, _send_too_late),
        Shot("login-signed-out", "/accounts/signed-out/"),
        Shot("login-wrong", "/accounts/login/", act=_sign_in_wrongly),
        Shot("start", "/", ada),
        Shot("start-first", "/", newcomer),
        Shot("form", form, ada),
        Shot("form-wrong", form, ada, lambda page: page.get_by_text("Send", exact=True).click()),
        Shot("form-restored", form, ada, _reload),
        Shot("form-perhaps-sent", form, ada, _lose_the_answer),
        Shot("streaming", form, ada, _stream),
        *states,
        Shot("job-cancelled-after-text", f"/jobs/{read.id}/", ada),
        Shot("job-held", f"/jobs/{held.id}/", ada),
        Shot("job-asked", failed, ada, lambda page: page.get_by_text("What you sent").click()),
        Shot("history", "/jobs/", ada),
        Shot("history-page", "/jobs/", ada, _older),
        Shot("history-empty", "/jobs/", newcomer),
        Shot("history-nothing", "/jobs/?q=zebra", ada),
        Shot("account", "/account/", ada, prepare=lambda: scenes.tokens(ada)),
        Shot("account-made", "/account/", newcomer, _make_token),
        Shot("account-wrong", "/account/", newcomer, _change_password_wrongly),
        Shot("start-paused", "/", ada, prepare=lambda: scenes.pause(staff)),
        Shot("form-paused", form, ada),
        Shot("form-refused", form, ada, _send_while_paused),
        Shot("error-404", "/nowhere/", ada, prepare=lambda: scenes.go_on(staff)),
        Shot("error-429", "/accounts/login/", act=_lock_out),
        *_admin_shots(staff),
        Shot("docs", "/api/v1/docs", ada, lambda page: page.locator(".opblock").first.wait_for()),
    ]


def _admin_shots(staff: User) -> list[Shot]:
    from tests.browser import scenes  # noqa: PLC0415

    root = "/admin/aifeature"
    feature, everything = (
        f"{root}/featurecontrol/{s}/change/" for s in ("summarize", "_5Feverything")
    )
    return [
        Shot("admin", "/admin/", staff, prepare=lambda: scenes.bad_day(staff)),
        Shot("admin-features", f"{root}/featurecontrol/", staff),
        Shot(
            "admin-attempts",
            f"{root}/attempt/?bill=unsure",
            staff,
            _tick_all,
            prepare=lambda: scenes.unsure_calls(staff),
        ),
        Shot("admin-settle-many", f"{root}/attempt/?bill=unsure", staff, _preview),
        Shot(
            "admin-settling",
            f"{root}/attempt/?bill=unsure",
            staff,
            _settle,
            prepare=lambda: scenes.unsure_calls(staff, features=8),
        ),
        Shot("admin-to-settle", "/admin/", staff),
        Shot("admin-feature", feature, staff),
        Shot("admin-everything", everything, staff),
        Shot("admin-stop", everything, staff, lambda page: press(page, "stop")),
        Shot("admin-release", feature, staff, lambda page: press(page, "release")),
        Shot("admin-models", f"{root}/modelcontrol/", staff),
        Shot("admin-model", f"{root}/modelcontrol/claude-haiku-5-5/change/", staff),
        Shot("admin-rates", f"{root}/rateoverride/", staff),
        Shot("admin-rates-add", f"{root}/rateoverride/add/", staff),
        Shot("admin-launches", f"{root}/launch/", staff),
        Shot("admin-launches-add", f"{root}/launch/add/", staff),
        Shot("admin-alerts", f"{root}/alert/", staff),
        Shot("admin-web-failures", f"{root}/webfailure/", staff),
        Shot("admin-checks", f"{root}/checkrun/", staff),
        Shot("admin-schedule", "/admin/django_celery_beat/periodictask/", staff),
        Shot("admin-stop-wrong", everything, staff, _stop_without_a_reason),
        Shot("admin-not-saved", feature, staff, _save_wrongly),
        Shot("admin-not-saved-task", "/admin/django_celery_beat/periodictask/add/", staff, _save),
        Shot("plain", "/admin/", staff, has_scripts=False),
        Shot("plain-features", f"{root}/featurecontrol/", staff, has_scripts=False),
        Shot("plain-feature", feature, staff, has_scripts=False),
        Shot("plain-stop", f"{root}/featurecontrol/_5Feverything/stop/", staff, has_scripts=False),
        Shot("plain-jobs", f"{root}/job/", staff, has_scripts=False),
        Shot("plain-rates-add", f"{root}/rateoverride/add/", staff, has_scripts=False),
        Shot(
            "plain-model", f"{root}/modelcontrol/claude-haiku-5-5/change/", staff, has_scripts=False
        ),
        Shot("plain-login", "/admin/login/", has_scripts=False),
        Shot("admin-stopped", feature, staff, prepare=lambda: scenes.stopped(staff)),
        Shot("admin-stopped-list", f"{root}/featurecontrol/", staff),
        Shot("admin-change-reason", feature, staff, lambda page: press(page, "change_reason")),
        Shot("plain-stopped-already", f"{root}/featurecontrol/summarize/stop/", staff),
    ]


def press(page: Page, what: str) -> None:
    """Press a button of admin that asks before it acts, and wait for its question."""
    page.locator(f'a[hx-get$="/{what}/"]').first.click()
    page.locator("#dialog").wait_for()


def _stop_without_a_reason(page: Page) -> None:
    press(page, "stop")
    page.locator("#dialog").get_by_role("button", name="Stop").click()
    page.get_by_text("This field is required.").wait_for()


def _save_wrongly(page: Page) -> None:
    page.get_by_label("Daily budget (USD)").fill("-5")
    _save(page)


def _save(page: Page) -> None:
    page.get_by_role("button", name="Save", exact=True).click()
    page.locator("#not-saved").wait_for()


def _tick_all(page: Page) -> None:
    page.locator("#action-toggle").check()
    page.get_by_role("link", name="Select all").wait_for()


def _preview(page: Page) -> None:
    _tick_all(page)
    page.get_by_role("link", name="Select all").click()
    page.locator('select[name="action"]').select_option("settle_many")
    page.get_by_role("button", name="Run").click()
    page.get_by_role("button", name="Settle these calls").wait_for()


def _settle(page: Page) -> None:
    _preview(page)
    page.get_by_role("radio", name="Nothing was billed").check()
    page.locator('[name="reason"]').fill("The provider's usage page shows none of them.")
    page.route("**/continue.js", lambda route: route.abort())  # so that it stays at the first step
    page.get_by_role("button", name="Settle these calls").click()
    page.locator("progress").wait_for()


def _sign_in_wrongly(page: Page) -> None:
    page.get_by_label("Username").fill("nobody")
    page.get_by_label("Password").fill("wrong")
    page.get_by_role("button", name="Sign in").click()


def _make_token(page: Page) -> None:
    page.get_by_label("Name").fill("nightly import")
    page.get_by_role("button", name="Create token").click()
    page.get_by_text("Copy the token").wait_for()


def _change_password_wrongly(page: Page) -> None:
    page.get_by_label("Old password").fill("wrong")
    page.get_by_role("button", name="Change password").click()
    page.get_by_role("alert").wait_for()


def _lock_out(page: Page) -> None:
    for _ in range(5):
        if page.get_by_label("Username").count():
            page.get_by_label("Username").fill("mallory")
            page.get_by_label("Password").fill("wrong")
            page.get_by_role("button", name="Sign in").click()


def _type(page: Page) -> None:
    from tests.browser import live, scenes  # noqa: PLC0415

    page.get_by_label("Document").fill(scenes.THREAD)
    live.wait_until(lambda: page.evaluate("sessionStorage.length"), "the draft is kept")


def _send_too_late(page: Page) -> None:
    _type(page)
    page.context.clear_cookies()
    page.get_by_role("button", name="Send", exact=True).click()
    page.get_by_text("What you typed is saved").wait_for()


def _lose_the_answer(page: Page) -> None:
    _type(page)
    page.route("**/f/summarize/", lambda route: route.abort())
    page.get_by_role("button", name="Send", exact=True).click()
    page.unroute("**/f/summarize/")
    page.goto("/f/summarize/")
    page.get_by_text("It may have been sent.").wait_for()


def _reload(page: Page) -> None:
    _type(page)
    page.reload()
    page.get_by_text("Here is what you typed before.").wait_for()


def _send_while_paused(page: Page) -> None:
    page.get_by_label("Document").fill("A text.")
    page.get_by_role("button", name="Send", exact=True).click()
    page.get_by_role("alert").wait_for()


def _stream(page: Page) -> None:
    from tests.browser import live, scenes  # noqa: PLC0415

    page.get_by_label("Document").fill(scenes.THREAD)
    page.get_by_role("button", name="Send", exact=True).click()
    words = page.locator(".words")
    words.wait_for()
    live.wait_until(lambda: len(words.inner_text()) > 90, "some words are there")


def _older(page: Page) -> None:
    page.get_by_role("link", name="Older").click()
    page.get_by_role("link", name="Newer").wait_for()


if __name__ == "__main__":
    sys.exit(main())
