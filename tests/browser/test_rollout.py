"""A feature on its way to users, in a browser: staff, beta, ramp, canary."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib.auth.models import User
from django.db.models import F
from django.utils import timezone
from playwright.sync_api import Page, expect

from aifeature.models import Canary, FeatureControl, Feedback, Job, Ramp, Stage, Status
from aifeature.policies import percent
from aifeature.policies.percent import place, place_for
from aifeature.services import controls
from aifeature.services.rollout import check
from tests import canary_rows, readings
from tests.browser import scenes
from tests.browser.pages import ADMIN, FORM, press, send, wait_until_done

if TYPE_CHECKING:
    from tests.browser.conftest import OpenPage

FEATURE = f"{ADMIN}/featurecontrol/summarize/change/"
LINK = "main a[href='/f/summarize/']"


def is_hidden(page: Page) -> bool:
    """Return whether the feature does not exist for the page's user: page, list and start page."""
    page.goto("/")
    links = page.locator(LINK).count()
    listed = page.request.get("/api/v1/features").json()["items"]
    return (
        page.request.get(FORM).status == 404
        and links == 0
        and "summarize" not in {each["slug"] for each in listed}
    )


def set_stage(page: Page, **values: str) -> None:
    """Change fields of the feature, read what the change affects, and save it."""
    page.goto(FEATURE)
    for name, value in values.items():
        field = page.locator(f"[name={name}]")
        if name == "stage":
            field.select_option(value)
        else:
            field.fill(value)
    page.locator("[name=reason]").fill("The next step of the plan.")
    page.locator("[name=_save]").first.click()
    expect(page.locator("main, #main").first).to_contain_text("may use it after this")
    page.get_by_role("button", name="Save").click()
    page.wait_for_url("**/featurecontrol/")
    controls.clear_cache()


def later(*, healthy_s: float) -> Ramp:
    """Check a minute later. The step was healthy for some seconds before."""
    Ramp.objects.update(checked_at=F("checked_at") - readings.MINUTE, healthy_s=healthy_s)
    check.check()
    return Ramp.objects.latest("id")


def outside(percent: int) -> User:
    """Return a new user whose place is beyond this share."""
    found = (scenes.person(f"visitor{number}") for number in range(500))
    return next(user for user in found if place("summarize", user.pk) >= percent)


def test_a_feature_reaches_users_step_by_step_and_a_bad_candidate_goes_back(
    open_page: OpenPage, ada: User, sam: User
) -> None:
    controls.change("summarize", {"stage": Stage.STAFF}, reason="Try it first.")
    other = outside(10)
    admin, joins, waits = open_page(sam), open_page(ada), open_page(other)
    assert is_hidden(joins)
    send(admin)
    wait_until_done(admin)

    # The beta has one place. The user who takes it sees the feature, and the other one does not.
    set_stage(admin, stage="beta", beta_cap="1")
    assert is_hidden(joins)
    joins.get_by_role("link", name="Try new features").click()
    joins.get_by_role("button", name="Join").click()
    joins.get_by_role("link", name="Open it").click()
    job = send(joins)
    wait_until_done(joins)
    waits.goto("/beta/")
    expect(waits.locator("main")).to_contain_text("All places are taken")
    assert is_hidden(waits)

    joins.get_by_role("button", name="No", exact=True).click()
    joins.get_by_label("Wrong", exact=True).check()
    joins.get_by_label("Comment").fill("Write to me: ada@countess.example.")
    joins.get_by_role("button", name="Send").click()
    expect(joins.locator("#feedback")).to_contain_text("Change your feedback")
    vote = Feedback.objects.get(job=job)
    assert (vote.rating, vote.reasons) == (-1, ["wrong"])
    assert "countess" not in vote.comment

    # A ramp: green moves it, and a red number steps it back.
    admin.goto(FEATURE)
    press(admin, "start_ramp")
    dialog = admin.locator("#dialog")
    dialog.get_by_label("Steps").fill("10, 100")
    dialog.get_by_label("Healthy hours").fill("1")
    dialog.get_by_label("Reason").fill("Open it to all users.")
    dialog.get_by_role("button", name="Start").click()
    expect(dialog).to_contain_text("Blast radius of each step")
    dialog.get_by_role("button", name="Start").click()
    dialog.wait_for(state="detached")
    controls.clear_cache()
    assert FeatureControl.objects.get(feature="summarize").percent == 10
    assert is_hidden(waits)
    readings.plant()
    assert later(healthy_s=3_600).step == 1
    assert not is_hidden(waits)
    readings.plant(errors="red")
    assert later(healthy_s=0).state == "stepped_back"
    assert is_hidden(waits)
    admin.goto(FEATURE)
    expect(admin.get_by_text("Stepped back").first).to_be_visible()
    Ramp.objects.update(state=Ramp.State.STOPPED, ended_at=timezone.now())
    controls.change("summarize", {"percent": 100}, reason="The errors had another cause.")

    # A canary: the candidate fails, and its users get the live version again.
    canary_rows.proven()
    canary = canary_rows.begun(sam, percent=50)
    purpose = percent.canary(canary.pk)
    arms = {user: place_for("summarize", purpose, user.pk) < 50 for user in (ada, other)}
    for page, user in ((joins, ada), (waits, other)):
        sent = send(page, f"{scenes.THREAD} {user.pk}")
        wait_until_done(page)
        sent.refresh_from_db()
        expected = canary.version if arms[user] else canary.live_version
        assert sent.prompt_version == expected
    canary_rows.plant(canary, "live", 60, harmed=1)
    canary_rows.plant(canary, "candidate", 60, harmed=25)
    check.check()
    canary.refresh_from_db()
    assert canary.state == Canary.State.ROLLED_BACK
    admin.goto(f"{ADMIN}/canary/{canary.pk}/change/")
    expect(admin.get_by_text("Rolled back").first).to_be_visible()
    for page, user in ((joins, ada), (waits, other)):
        sent = send(page, f"{scenes.THREAD} again {user.pk}")
        wait_until_done(page)
        sent.refresh_from_db()
        assert sent.prompt_version == canary.live_version
    mine = Job.objects.filter(user__in=(ada, other, sam))
    assert {each.status for each in mine} == {Status.SUCCEEDED}
