"""The pictures of `tests.browser.screenshots`: pages, and actions before the picture is taken."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from django.contrib.auth.models import User

from aifeature import registry
from aifeature.models import Canary, Status
from aifeature.reasons import FailureCode, WaitReason
from aifeature.services import texts
from tests.browser import live, scenes
from tests.browser.pages import ADMIN, FORM, press, press_send, sign_in

if TYPE_CHECKING:
    from playwright.sync_api import Page


@dataclass(frozen=True, slots=True)
class Shot:
    """A page to take a picture of."""

    name: str
    path: str
    user: User | None = None
    act: Callable[[Page], object] = lambda _: None
    """Action before the picture."""

    prepare: Callable[[], object] = lambda: None
    """Creates the data of this picture and all later ones."""

    is_whole: bool = True
    """Whether the picture shows the part below the window, too."""

    has_scripts: bool = True
    """Whether the browser runs JavaScript."""


def shots() -> list[Shot]:
    """Return all pictures in order, and create the data of the first ones."""
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
    answers = {
        "cited": scenes.answered(ada),
        "translated": scenes.answered(ada, text=scenes.TRANSLATED),
        "plain": scenes.answered(ada, degraded=True, model="", prompt_version=""),
        "unknown": scenes.answered(ada, known=False),
    }
    in_review = scenes.ticket(ada, Status.NEEDS_APPROVAL)
    approved = scenes.ticket(ada, Status.SUCCEEDED)
    expired = scenes.ticket(
        ada,
        Status.FAILED,
        error_code=FailureCode.APPROVAL_EXPIRED,
        error_message=texts.FAILED[FailureCode.APPROVAL_EXPIRED],
    )
    unsafe = scenes.job(
        ada,
        Status.FAILED,
        error_code=FailureCode.ANSWER_UNSAFE,
        error_message=registry.get("summarize").guards.fallback,
    )
    states = [Shot(f"job-{s.value}", f"/jobs/{job.id}/", ada) for s, job in jobs.items()]
    failed = f"/jobs/{jobs[Status.FAILED].id}/"
    return [
        Shot("login", "/accounts/login/"),
        Shot("login-ended", FORM, ada, _send_too_late),
        Shot("login-signed-out", "/accounts/signed-out/"),
        Shot("login-wrong", "/accounts/login/", act=_sign_in_wrongly),
        Shot("start", "/", ada),
        Shot("start-first", "/", newcomer),
        Shot("form", FORM, ada),
        Shot("form-wrong", FORM, ada, lambda page: page.get_by_text("Send", exact=True).click()),
        Shot("form-restored", FORM, ada, _reload),
        Shot("form-perhaps-sent", FORM, ada, _lose_the_answer),
        Shot("streaming", FORM, ada, _stream),
        *states,
        *(Shot(f"answer-{name}", f"/jobs/{job.id}/", ada) for name, job in answers.items()),
        Shot("answer-receipt", f"/jobs/{answers['cited'].id}/", ada, _open_receipt),
        Shot("answer-form", "/f/answer/?example=3", ada),
        Shot("answer-sources", "/f/answer/sources/", ada, is_whole=False),
        Shot("answer-source", "/f/answer/sources/#refund-window", ada, is_whole=False),
        Shot("job-cancelled-after-text", f"/jobs/{read.id}/", ada),
        Shot("job-unsafe", f"/jobs/{unsafe.id}/", ada),
        Shot("job-ticket-in-review", f"/jobs/{in_review.id}/", ada),
        Shot("job-ticket-sorted", f"/jobs/{approved.id}/", ada),
        Shot("job-ticket-expired", f"/jobs/{expired.id}/", ada),
        Shot("form-ticket", "/f/triage/", ada),
        Shot("job-held", f"/jobs/{held.id}/", ada),
        Shot("job-asked", failed, ada, lambda page: page.get_by_text("What you sent").click()),
        Shot("history", "/jobs/", ada),
        Shot("history-page", "/jobs/", ada, _older),
        Shot("history-empty", "/jobs/", newcomer),
        Shot("history-nothing", "/jobs/?q=zebra", ada),
        Shot("usage", "/usage/", ada, prepare=lambda: scenes.usage(ada)),
        Shot("usage-none", "/usage/", newcomer),
        Shot("tour", "/tour/", staff),
        Shot("tour-user", "/tour/", ada),
        Shot("account", "/account/", ada, prepare=lambda: scenes.tokens(ada)),
        Shot("account-made", "/account/", newcomer, _make_token),
        Shot("account-wrong", "/account/", newcomer, _change_password_wrongly),
        Shot("start-paused", "/", ada, prepare=lambda: scenes.pause(staff)),
        Shot("form-paused", FORM, ada),
        Shot("form-refused", FORM, ada, _send_while_paused),
        Shot("error-404", "/nowhere/", ada, prepare=lambda: scenes.go_on(staff)),
        Shot("error-429", "/accounts/login/", act=_lock_out),
        *_admin_shots(staff),
        Shot("panel", "/panel/", staff),
        Shot("admin-job-in-review", f"{ADMIN}/job/{in_review.id}/change/", staff),
        *_guard_shots(staff),
        *_canary_shots(staff),
        *_people_shots(staff),
        *_access_shots(staff),
        *_feedback_shots(staff),
        Shot("docs", "/api/v1/docs", ada, lambda page: page.locator(".opblock").first.wait_for()),
    ]


def _access_shots(staff: User) -> list[Shot]:
    noor, feature = scenes.person("noor"), f"{ADMIN}/featurecontrol/answer/change/"
    return [
        Shot("start-beta", "/", noor, prepare=lambda: scenes.betas(staff)),
        Shot("beta", "/beta/", noor),
        Shot("plain-beta", "/beta/", noor, has_scripts=False),
        Shot("beta-joined", "/beta/", noor, _join),
        Shot("form-blocked", "/f/answer/", noor, prepare=lambda: scenes.blocked(noor, staff)),
        Shot("admin-why", f"{feature}?who=noor", staff),
        Shot("plain-why", f"{feature}?who=bo", staff, has_scripts=False),
        Shot("admin-blocks", f"{ADMIN}/accessblock/", staff),
        Shot("admin-blocks-add", f"{ADMIN}/accessblock/add/?feature=answer", staff),
    ]


def _join(page: Page) -> None:
    if (button := page.get_by_role("button", name="Join")).count():  # in the first picture
        button.click()
        page.get_by_text("You have joined").first.wait_for()


def _canary_shots(staff: User) -> list[Shot]:
    made: list[Canary] = []
    page = f"{ADMIN}/canary/"
    feature = f"{ADMIN}/featurecontrol/summarize/change/"

    def prepare() -> None:
        scenes.go_on(staff)
        made.append(scenes.canaries_of_summarize(staff))

    return [
        Shot("admin-canaries", page, staff, prepare=prepare),
        Shot("admin-canary", page, staff, lambda page: _follow(page, "/change/")),
        Shot(
            "admin-canary-share",
            page,
            staff,
            _open_share,
        ),
        Shot("admin-canary-feature", feature, staff),
        Shot(
            "admin-canary-rolled-back",
            page,
            staff,
            lambda page: _follow(page, "/change/"),
            prepare=lambda: scenes.rolled_back_canary(staff, made[-1]),
        ),
        Shot("admin-canary-start", feature, staff, lambda page: press(page, "start")),
        Shot("plain-canary-start", f"{page}summarize/start/", staff, has_scripts=False),
    ]


def _guard_shots(staff: User) -> list[Shot]:
    eve = scenes.person("eve")
    events = f"{ADMIN}/guardevent/"
    return [
        Shot("start-flagged", "/", eve, prepare=lambda: scenes.flagged(eve)),
        Shot("form-flagged", "/f/triage/", eve),
        Shot("account-flagged", "/account/", eve),
        Shot("admin-guard-events", events, staff),
        Shot("admin-guard-event", events, staff, lambda page: _follow(page, "/change/")),
        Shot("admin-guard-case", events, staff, lambda page: _follow(page, "/case/")),
        Shot("admin-flagged-job", events, staff, lambda page: _follow(page, "/job/")),
        Shot("admin-flagged", "/admin/", staff),
    ]


def _open_share(page: Page) -> None:
    _follow(page, "/change/")
    press(page, "share")


def _feedback_shots(staff: User) -> list[Shot]:
    ida = scenes.person("ida")
    rated = scenes.rated(ida)
    ratings = f"{ADMIN}/feedback/"
    figures = f"{ratings}figures/?feature=summarize&days=30"
    pages = {name: f"/jobs/{job.id}/" for name, job in rated.items()}
    return [
        Shot("feedback-new", pages["new"], ida),
        Shot("feedback-up", pages["up"], ida),
        Shot("feedback-down", pages["down"], ida, _open_feedback),
        Shot("feedback-failed", pages["failed"], ida),
        Shot("feedback-plain", pages["up"], ida, has_scripts=False),
        Shot("feedback-too-long", pages["up"], ida, _comment_too_long),
        Shot("admin-opinions", figures, staff, prepare=scenes.opinions),
        Shot("admin-opinions-none", f"{ratings}figures/?feature=triage", staff),
        Shot("admin-ratings", ratings, staff, is_whole=False),
        Shot("admin-rating", ratings, staff, lambda page: _follow(page, "/change/")),
    ]


def _open_feedback(page: Page) -> None:
    page.get_by_text("Change your feedback").click()


def _comment_too_long(page: Page) -> None:
    page.get_by_label("Comment").fill("Too long. " * 201)
    page.get_by_role("button", name="Send").first.click()
    page.get_by_role("alert").get_by_text("2,010").wait_for()


def _people_shots(staff: User) -> list[Shot]:
    mallory = scenes.person("mallory")
    people, shadows = f"{ADMIN}/refusedsubmissions/", f"{ADMIN}/shadow/"
    return [
        Shot("admin-people", people, staff, prepare=lambda: scenes.people(mallory, staff)),
        Shot(
            "admin-people-throttle",
            people,
            staff,
            lambda page: page.get_by_role("link", name="Throttle").first.click(),
        ),
        Shot("admin-throttle-confirm", people, staff, _throttle),
        Shot("plain-throttle-confirm", people, staff, _throttle, has_scripts=False),
        Shot("admin-launch-confirm", f"{ADMIN}/launch/add/", staff, _announce),
        Shot("admin-shadow-add", f"{shadows}add/", staff),
        Shot("admin-shadows", shadows, staff, prepare=lambda: scenes.shadow(staff)),
        Shot("admin-shadow", shadows, staff, lambda page: _follow(page, "/change/")),
        Shot("plain-people", people, staff, has_scripts=False),
    ]


def _throttle(page: Page) -> None:
    page.get_by_role("link", name="Throttle").first.click()
    page.locator("[name=feature]").select_option("summarize")
    page.locator("[name=requests_per_minute]").fill("0.5")
    page.locator("[name=in_flight]").fill("1")
    page.locator("[name=reason]").fill("A script sends the same text.")
    _save_and_check(page)


def _announce(page: Page) -> None:
    page.locator("[name=feature]").select_option("summarize")
    page.locator("[name=note]").fill("The spring campaign.")
    page.locator("[name=starts_at_0]").fill("2099-03-01")
    page.locator("[name=starts_at_1]").fill("09:00:00")
    page.locator("[name=hours]").fill("36")
    page.locator("[name=factor]").fill("3")
    _save_and_check(page)


def _save_and_check(page: Page) -> None:
    page.locator("[name=_save]").click()
    page.get_by_text("Nothing is stored yet.").wait_for()


def _follow(page: Page, part: str) -> None:
    """Follow the first link of the list whose address has this part."""
    with page.expect_navigation():
        page.locator(f'#result_list a[href*="{part}"]').first.click()


def _open_receipt(page: Page) -> None:
    page.get_by_text("About this answer").click()


def _admin_shots(staff: User) -> list[Shot]:
    runs = scenes.evaluations()
    feature, everything = (
        f"{ADMIN}/featurecontrol/{s}/change/" for s in ("summarize", "_5Feverything")
    )
    triage, other = (f"{ADMIN}/featurecontrol/{s}/change/" for s in ("triage", "answer"))
    plain = {
        "plain": "/admin/",
        "plain-features": f"{ADMIN}/featurecontrol/",
        "plain-feature": feature,
        "plain-stop": f"{ADMIN}/featurecontrol/_5Feverything/stop/",
        "plain-jobs": f"{ADMIN}/job/",
        "plain-rates-add": f"{ADMIN}/rateoverride/add/",
        "plain-model": f"{ADMIN}/modelcontrol/claude-haiku-5-5/change/",
    }
    return [
        Shot("admin", "/admin/", staff, prepare=lambda: scenes.bad_day(staff)),
        Shot("admin-features", f"{ADMIN}/featurecontrol/", staff),
        Shot(
            "admin-attempts",
            f"{ADMIN}/attempt/?bill=unsure",
            staff,
            _tick_all,
            prepare=lambda: scenes.unsure_calls(staff),
        ),
        Shot("admin-settle-many", f"{ADMIN}/attempt/?bill=unsure", staff, _preview),
        Shot(
            "admin-settling",
            f"{ADMIN}/attempt/?bill=unsure",
            staff,
            _settle,
            prepare=lambda: scenes.unsure_calls(staff, features=8),
        ),
        Shot("admin-to-settle", "/admin/", staff),
        Shot("admin-feature", feature, staff),
        Shot("admin-everything", everything, staff),
        Shot("admin-stop", everything, staff, lambda page: press(page, "stop")),
        Shot("admin-release", feature, staff, lambda page: press(page, "release")),
        Shot("admin-models", f"{ADMIN}/modelcontrol/", staff),
        Shot("admin-model", f"{ADMIN}/modelcontrol/claude-haiku-5-5/change/", staff),
        Shot("admin-rates", f"{ADMIN}/rateoverride/", staff),
        Shot("admin-rates-add", f"{ADMIN}/rateoverride/add/", staff),
        Shot("admin-launches", f"{ADMIN}/launch/", staff),
        Shot("admin-launches-add", f"{ADMIN}/launch/add/", staff),
        Shot("admin-alerts", f"{ADMIN}/alert/", staff),
        Shot(
            "admin-channels",
            f"{ADMIN}/alertchannel/",
            staff,
            prepare=lambda: scenes.channels(staff),
        ),
        Shot("admin-channel-add", f"{ADMIN}/alertchannel/add/", staff),
        Shot("admin-web-failures", f"{ADMIN}/webfailure/", staff),
        Shot("admin-checks", f"{ADMIN}/checkrun/", staff),
        Shot("admin-schedule", "/admin/django_celery_beat/periodictask/", staff),
        Shot("admin-evaluations", scenes.RUNS, staff),
        *(
            Shot(f"admin-evaluation-{state}", f"{scenes.RUNS}{run.pk}/change/", staff)
            for state, run in runs.items()
        ),
        Shot("admin-evaluation-report", f"{scenes.RUNS}{runs['ended'].pk}/report/", staff),
        Shot("admin-regressions", scenes.SERIES, staff, prepare=scenes.weekly_runs, is_whole=False),
        Shot("admin-regression", f"{scenes.SERIES}?state=confirmed", staff, _open_first),
        Shot("admin-stop-wrong", everything, staff, _stop_without_a_reason),
        Shot("admin-not-saved", feature, staff, _save_wrongly),
        Shot("admin-not-saved-task", "/admin/django_celery_beat/periodictask/add/", staff, _save),
        *(Shot(name, path, staff, has_scripts=False) for name, path in plain.items()),
        Shot("plain-login", "/admin/login/", has_scripts=False),
        Shot("admin-stopped", feature, staff, prepare=lambda: scenes.pause(staff)),
        Shot("admin-stopped-list", f"{ADMIN}/featurecontrol/", staff),
        Shot("admin-change-reason", feature, staff, lambda page: press(page, "change_reason")),
        Shot(
            "admin-prompts",
            scenes.PROMPTS,
            staff,
            prepare=lambda: scenes.prompts_of_summarize(staff, runs["ended"]),
        ),
        Shot("admin-prompts-diff", f"{scenes.PROMPTS}?from=v1&to=v2#diff", staff, is_whole=False),
        Shot("admin-roll-back", scenes.PROMPTS, staff, lambda page: press(page, "roll_back")),
        Shot("admin-activate-refused", scenes.PROMPTS, staff, _activate_too_late),
        Shot("admin-override", feature, staff),
        Shot("admin-overview-override", "/admin/", staff),
        Shot(
            "admin-ramp", triage, staff, _show_ramp, lambda: scenes.held_ramp(staff), is_whole=False
        ),
        Shot("admin-ramp-start", other, staff, _start_ramp, is_whole=False),
        Shot(
            "admin-alert",
            f"{ADMIN}/alert/?kind=errors_high",
            staff,
            _open_alert,
            prepare=lambda: scenes.red_number(staff),
        ),
        Shot("admin-numbers", other, staff, _show_numbers, is_whole=False),
        Shot("admin-actions", other, staff, lambda page: press(page, "number_actions")),
        Shot("admin-confirm", triage, staff, _save_a_change),
        Shot("plain-confirm", triage, staff, _save_a_change, has_scripts=False),
        Shot("admin-stop-impact", triage, staff, lambda page: press(page, "stop"), is_whole=False),
        Shot("form-for-staff", FORM, staff),
        Shot("dashboard", "/dashboard/", staff, prepare=lambda: scenes.dashboard(staff)),
        Shot("dashboard-of-one", "/dashboard/?feature=summarize&range=7d", staff),
        Shot("plain-dashboard", "/dashboard/?range=7d", staff, has_scripts=False),
        Shot("dashboard-printed", "/dashboard/?range=28d", staff, _print),
        Shot("plain-prompts", scenes.PROMPTS, staff, has_scripts=False),
        Shot("plain-stopped-already", f"{ADMIN}/featurecontrol/summarize/stop/", staff),
    ]


def _print(page: Page) -> None:
    """Show the page as it is printed."""
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")


def _open_first(page: Page) -> None:
    page.locator('a[href*="/change/"]').first.click()
    page.get_by_text("rolled back to v2").first.wait_for()


def _stop_without_a_reason(page: Page) -> None:
    press(page, "stop")
    page.locator("#dialog").get_by_role("button", name="Stop").click()
    page.get_by_text("This field is required.").wait_for()


def _activate_too_late(page: Page) -> None:
    page.get_by_role("link", name="Activate v3").click()
    dialog = page.locator("#dialog")
    dialog.get_by_label("Version").select_option("v2")
    dialog.get_by_label("Reason").fill("It is better.")
    dialog.get_by_role("button", name="Activate").click()
    dialog.get_by_text("did not pass").wait_for()


def _save_wrongly(page: Page) -> None:
    page.get_by_label("Daily budget (USD)").fill("-5")
    _save(page)


def _show_ramp(page: Page) -> None:
    page.locator(".aif-ramp").scroll_into_view_if_needed()
    page.evaluate(
        "document.querySelector('.aif-ramp').closest('[class*=rounded]').scrollIntoView()"
    )


def _open_alert(page: Page) -> None:
    page.locator('#result_list a[href*="/change/"]').first.click()
    page.get_by_text("Why this alert").wait_for()


def _show_numbers(page: Page) -> None:
    page.get_by_role("heading", name="When a number turns red").scroll_into_view_if_needed()


def _start_ramp(page: Page) -> None:
    """Enter steps that go down."""
    press(page, "start_ramp")
    dialog = page.locator("#dialog")
    dialog.get_by_label("Steps").fill("25, 10")
    dialog.get_by_label("Reason").fill("Launch.")
    dialog.get_by_role("button", name="Start ramp").click()
    dialog.get_by_role("alert").wait_for()


def _save_a_change(page: Page) -> None:
    page.get_by_label("Stage", exact=False).first.select_option("percent")
    page.locator("[name=percent]").fill("30")
    page.locator("[name=daily_budget_usd]").fill("20")
    page.locator("[name=reason]").first.fill("Two weeks without a complaint.")
    _save_and_check(page)


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
    page.route("**/continue.js", lambda route: route.abort())  # stay at the first step
    page.get_by_role("button", name="Settle these calls").click()
    page.locator("progress").wait_for()


def _sign_in_wrongly(page: Page) -> None:
    sign_in(page, "stranger", password="wrong")


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
            sign_in(page, "mallory", password="wrong")


def _type(page: Page) -> None:
    page.get_by_label("Document").fill(scenes.THREAD)
    live.wait_until(lambda: page.evaluate("sessionStorage.length"), "the draft is kept")


def _send_too_late(page: Page) -> None:
    _type(page)
    page.context.clear_cookies()
    press_send(page)
    page.get_by_text("What you typed is saved").wait_for()


def _lose_the_answer(page: Page) -> None:
    _type(page)
    page.route(f"**{FORM}", lambda route: route.abort())
    press_send(page)
    page.unroute(f"**{FORM}")
    page.goto(FORM)
    page.get_by_text("It may have been sent.").wait_for()


def _reload(page: Page) -> None:
    _type(page)
    page.reload()
    page.get_by_text("Here is what you typed before.").wait_for()


def _send_while_paused(page: Page) -> None:
    page.get_by_label("Document").fill("A text.")
    press_send(page)
    page.get_by_role("alert").wait_for()


def _stream(page: Page) -> None:
    page.get_by_label("Document").fill(scenes.THREAD)
    press_send(page)
    words = page.locator(".words")
    words.wait_for()
    live.wait_until(lambda: len(words.inner_text()) > 90, "some words are there")


def _older(page: Page) -> None:
    page.get_by_role("link", name="Older").click()
    page.get_by_role("link", name="Newer").wait_for()
