"""The page of a feature's prompts: each button has its permission, and a refusal loses nothing."""

from __future__ import annotations

import io
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from aifeature import prompts, registry
from aifeature.models import Activation, FeatureControl, Stage
from aifeature.services import controls
from aifeature.services.promotion import activations, standing
from tests import proof
from tests.browser import scenes
from tests.integration.admin.conftest import MakeJob, Staff
from tests.integration.admin.test_features import save
from tests.unit.evals.test_report import a_run, a_verdict, case

pytestmark = pytest.mark.slow

SLUG = "summarize"
LIST = "/admin/aifeature/featurecontrol/"
PAGE = f"{LIST}{SLUG}/prompts/"
DETAIL = f"{LIST}{SLUG}/change/"
WEEKLY = "/admin/evals/weeklyrun/"
ACTIONS = ("activate", "roll_back", "override", "approve", "end_override")
COMMAND = "python -m evals run summarize --prompt"


def address(action: str) -> str:
    return f"{LIST}{SLUG}/{action}/"


def press(page: Client, action: str, row: int | None = None, **values: Any) -> Any:
    """Send a dialog with what it shows, or with another `row`."""
    seen = page.get(address(action)).context["form"]["row"].value() if row is None else row
    form = {"_form_submitted": "on", "reason": "Because.", "row": seen, **values}
    return page.post(address(action), form)


def live() -> str:
    row = activations.live_row(SLUG)
    return row.version if row else ""


def open_with_history() -> None:
    """Make v1 live, then v4, which is the code's version; v2 failed."""
    proof.activate(SLUG, "v1", **proof.of_today(SLUG, "v1"))
    proof.evidence(SLUG, "v2", passed=False, verdict=a_verdict(), **proof.of_today(SLUG, "v2"))
    proof.open_to_users(SLUG)


def test_the_page_shows_each_version_with_its_evidence(page: Client) -> None:
    run = a_run(case("one"))
    run.save()
    gone = "11111111-1111-4111-8111-111111111111"
    verdict = a_verdict(decision="pass", floor=0.8)
    found = {
        "answered_by": ["claude-x-20260914"],
        "account": "key 4f0a",
        "runs": [str(run.pk), gone],
    }
    proof.activate(SLUG, "v1", **proof.of_today(SLUG, "v1"))
    proof.activate(SLUG, "v4", verdict=verdict, **found, **proof.of_today(SLUG, "v4"))
    text = page.get(PAGE).text
    for part in (
        *("When it opens, users get v4", "78.0%", "73.0% to 83.0%", "Against v1", "-12.0 points"),
        *("-18.1 to -5.9", "80.0%", "claude-x-20260914", "key 4f0a", "python -m evals", "always"),
        *(
            "2026-11-02 03:00:00 UTC",
            "The bare task.",
            f"{COMMAND} v2",
            "summarize v2 has no evidence",
        ),
    ):
        assert part in text
    assert f"/admin/evals/run/{run.pk}/change/" in text
    assert f"/admin/evals/run/{gone}" not in text, "it is in another database"
    assert "What was live when" in text
    assert PAGE in page.get(DETAIL).text
    assert PAGE in page.get(LIST).text


def test_the_difference_is_by_default_from_the_live_version_to_the_newest(page: Client) -> None:
    proof.activate(SLUG, "v1")
    text = page.get(PAGE).text
    assert "Changes from v1 to v4" in text
    assert '<div class="removed">Summarise the document.</div>' in text
    assert "Changes from v2 to v1" in page.get(f"{PAGE}?from=v2&to=v1").text
    assert "The texts are the same." in page.get(f"{PAGE}?from=v2&to=v2").text
    assert "Changes from v1 to v4" in page.get(f"{PAGE}?from=v9&to=x").text


def test_each_button_needs_its_permission(staff: Staff, page: Client, client: Client) -> None:
    open_with_history()
    proof.evidence(SLUG, "v1", **proof.of_today(SLUG, "v1"))
    viewer = staff("view_featurecontrol")
    may = {
        "activate_prompt": {"activate", "roll_back"},
        "override_prompt": {"override", "approve", "end_override"},
    }
    for permission, allowed in may.items():
        visitor = staff("view_featurecontrol", permission)
        for action in ACTIONS:
            status = visitor.get(address(action)).status_code
            assert status == (200 if action in allowed else 403), action
            assert press(viewer, action, row=0).status_code == 403
    shown = viewer.get(PAGE).text
    assert not [action for action in ACTIONS if address(action) in shown]
    assert Activation.objects.count() == 2
    assert staff().get(PAGE).status_code == 403
    assert client.get(PAGE).status_code == 302
    for unknown in ("nothing", "_5Feverything"):
        assert page.get(f"{LIST}{unknown}/prompts/").status_code == 404
        assert page.get(f"{LIST}{unknown}/activate/").status_code == 404


def test_only_buttons_with_an_effect_are_shown(page: Client) -> None:
    def shown() -> set[str]:
        text = page.get(PAGE).text
        return {action for action in ACTIONS if address(action) in text}

    assert shown() == {"override"}
    proof.evidence(SLUG, "v1", **proof.of_today(SLUG, "v1"))
    assert shown() == {"override", "activate"}
    press(page, "activate", version="v1")
    assert shown() == {"override"}
    proof.activate(SLUG)
    assert "Roll back to v1" in page.get(PAGE).text
    press(page, "override", version="v2", hours="2")
    assert "Withdraw request" in page.get(PAGE).text
    assert "approve" not in shown(), "of one's own request"


def test_an_activation_is_on_record_and_a_refused_one_shows_why_and_how(
    page: Client, boss: User
) -> None:
    answer = press(page, "activate", version="v4", reason="It is better.")
    assert answer.status_code == 200
    assert "v4 has no evidence with sandbox" in answer.text
    assert f"{COMMAND} v4" in answer.text
    form = answer.context["form"]
    assert (form["reason"].value(), form["version"].value()) == ("It is better.", "v4")
    assert live() == ""
    proof.evidence(SLUG, **proof.of_today(SLUG))
    answer = press(page, "activate", version="v4", reason="It is better.")
    assert answer["HX-Redirect"] == PAGE
    row = Activation.objects.get()
    assert (row.version, row.user, row.reason) == ("v4", boss, "It is better.")
    assert "v4 is live." in page.get(PAGE).text


def test_the_second_of_two_people_reads_what_is_live_now(page: Client) -> None:
    open_with_history()
    proof.evidence(SLUG, "v1", **proof.of_today(SLUG, "v1"))
    seen = page.get(address("roll_back")).context["form"]["row"].value()
    activations.roll_back(SLUG, reason="First.", check_name="kim")
    for action in ("roll_back", "activate"):
        answer = press(page, action, row=seen, version="v1")
        assert "changed since you opened it: now v1 is live, by kim" in answer.text
        assert "Because." in answer.text
    assert live() == "v1"


def test_a_roll_back_names_its_target_and_is_one_step(page: Client, boss: User) -> None:
    open_with_history()
    asked = page.get(address("roll_back")).text
    assert "from <strong>v4</strong>" in asked
    assert '<p class="aif-figure">v1</p>' in asked
    assert press(page, "roll_back")["HX-Redirect"] == PAGE
    assert live() == "v1"
    assert "No earlier version" in press(page, "roll_back").text


def test_an_override_needs_a_second_person_and_is_shown_on_every_page(
    page: Client, boss: User, staff: Staff, client: Client, make_job: MakeJob
) -> None:
    open_with_history()
    scenes.weekly_runs()
    job = f"/admin/aifeature/job/{make_job().pk}/change/"
    dialogs = [address(name) for name in (*ACTIONS, "stop", "change_reason", "release")]
    pages = [PAGE, DETAIL, "/admin/", f"{LIST}{SLUG}/history/", job, WEEKLY, *dialogs]
    assert "hours" in press(page, "override", version="v2", hours="169").context["form"].errors
    press(page, "override", version="v2", hours="1", reason="A leak.")
    for each in (PAGE, DETAIL):
        assert "boss requested v2 without evidence for 1 hour, at" in page.get(each).text
    assert "A second person approves an override." in press(page, "approve").text
    other = staff("view_featurecontrol", "override_prompt")
    assert "Approve override to v2" in other.get(PAGE).text
    assert press(other, "approve")["HX-Redirect"] == PAGE
    assert live() == "v2"
    site = f"/f/{SLUG}/"
    banner = "summarize v2 is live without evidence until"
    for each in (*pages, site):
        assert banner in page.get(each).text, each
    listed = page.get(LIST).text
    assert '>v2</a><span class="aif-doubt"> by an override until 20' in listed
    customer = User.objects.create_user("eve")
    client.force_login(customer)
    assert banner not in client.get(site).text
    assert '<p class="aif-figure">v4</p>' in page.get(address("end_override")).text
    press(page, "end_override")
    assert live() == "v4"
    for each in pages:
        assert banner not in page.get(each).text, each
    assert "by an override" not in page.get(LIST).text


def test_the_page_of_a_feature_approves_no_request_of_another(page: Client) -> None:
    other = User.objects.create_user("ada")
    row = activations.request_override("triage", "v1", hours=1, reason="r", user_id=other.pk)
    answer = press(page, "approve", row=row.pk)
    assert "summarize has no such request." in answer.text
    assert activations.open_override("triage") is None


@pytest.mark.parametrize("action", ACTIONS)
def test_a_feature_without_users_has_no_dialogs(page: Client, action: str) -> None:
    assert page.get(f"{LIST}judge/prompts/").status_code == 200
    assert page.get(f"{LIST}judge/{action}/").status_code == 404
    form = {"_form_submitted": "on", "reason": "r", "row": 0, "version": "v1", "hours": 1}
    assert page.post(f"{LIST}judge/{action}/", form).status_code == 404


def test_evidence_of_a_feature_without_users_is_shown_without_an_activation(page: Client) -> None:
    proof.evidence("moderation", **proof.of_today("moderation"))
    text = page.get(f"{LIST}moderation/prompts/").text
    assert "no stage, but needs evidence. v1 is used." in text
    assert "Measured" in text
    assert "Activate v1" not in text
    assert "may be activated" not in text


def test_a_feature_that_serves_staff_only_shows_why(
    page: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    proof.open_to_users(SLUG)
    monkeypatch.setattr(controls.live, "has", lambda *_: False)
    for each in (PAGE, DETAIL, "/admin/", f"/f/{SLUG}/"):
        text = page.get(each).text
        assert "summarize serves staff only: this release has no prompt of it" in text
        assert f"{COMMAND} v4" in text
    assert '>v4</a><span class="aif-doubt"> for staff only' in page.get(LIST).text


@pytest.mark.usefixtures("caches_stand_still")
def test_lists_read_what_is_live_of_all_features_at_once(page: Client) -> None:
    def queries(where: str) -> int:
        controls.clear_cache()
        with CaptureQueriesContext(connection) as captured:
            assert page.get(where).status_code == 200
        return len(captured)

    scenes.weekly_runs()
    slugs, counts = (SLUG, "triage", "answer"), []
    for slug in slugs:
        proof.open_to_users(slug)
    queries(LIST)  # the first visit also makes missing rows
    people = [User.objects.create_user(name) for name in ("ada", "kim")]
    for slug in slugs:
        asked, given = (person.pk for person in people)
        version = prompts.versions(slug)[0]
        row = activations.request_override(slug, version, hours=1, reason="r", user_id=asked)
        activations.approve_override(row.pk, reason="r", user_id=given)
        counts.append([queries(where) for where in (LIST, WEEKLY)])
    assert counts == counts[:1] * len(slugs)


def test_a_version_that_cannot_be_read_is_shown_with_the_reason(
    page: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    proof.activate(SLUG, "v2")
    text, get = "prompt summarize/v4: a broken line", prompts.get

    def broken(slug: str, version: str) -> prompts.Prompt:
        if (slug, version) == (SLUG, "v4"):
            raise prompts.PromptError(text)
        return get(slug, version)

    monkeypatch.setattr(prompts, "get", broken)
    shown = page.get(PAGE)
    assert text in shown.text
    assert "cannot be read" in shown.text
    assert shown.context["diff"]["names"] == ["v3", "v2", "v1"]
    assert page.get(f"{PAGE}?from=v4&to=v1").status_code == 200
    choices = page.get(address("activate")).context["form"].fields["version"].choices
    assert [version for version, _ in choices] == ["v3", "v2", "v1"]
    for each in (DETAIL, LIST, "/admin/"):
        assert page.get(each).status_code == 200
    out = io.StringIO()
    call_command("prompts", "status", SLUG, stdout=out)
    assert f"It cannot be activated. {text}" in out.getvalue()


def test_outcomes_of_evidence_are_not_read_to_show_it(page: Client) -> None:
    open_with_history()
    rows = [version.evidence for version in standing.of(registry.get(SLUG)).versions]
    rows += [row.evidence for row in standing.history(SLUG)]
    assert [row.get_deferred_fields() for row in rows if row] == [{"outcomes"}] * 5


@pytest.mark.parametrize("stage", [Stage.BETA, Stage.PERCENT])
def test_an_invitation_needs_fresh_evidence_and_its_removal_does_not(
    page: Client, customer: User, boss: User, stage: Stage
) -> None:
    def invite(*users: User, **values: Any) -> dict[str, Any]:
        invited = [user.pk for user in users]
        answer = save(page, DETAIL, beta_users=invited, reason="r", **values)
        return answer.context["adminform"].form.errors if answer.status_code == 200 else {}

    proof.open_to_users(SLUG)
    old = proof.of_today(SLUG) | {"fresh_until": proof.MEASURED_AT + timedelta(days=1)}
    proof.evidence(SLUG, **old)
    assert not invite(customer, stage=stage), "all users were admitted before"
    assert "too old" in str(invite(customer, boss)["beta_users"])
    assert "too old" in str(invite(boss)["beta_users"]), "instead of another"
    assert not invite()
    FeatureControl.objects.update(stage=Stage.STAFF)
    assert not invite(boss)


@pytest.mark.parametrize(
    ("values", "field", "why"),
    [
        ({"stage": Stage.EVERYONE}, "stage", "No prompt is activated"),
        ({"prompt_version": "v2"}, "prompt_version", "users may get only what is activated: v4"),
    ],
)
def test_the_form_refuses_users_without_a_live_version(
    page: Client, values: dict[str, str], field: str, why: str
) -> None:
    if field == "prompt_version":
        proof.open_to_users(SLUG)
    form = page.get(DETAIL).context["adminform"].form
    shown = {name: form[name].value() for name in form.fields}
    sent = {name: value for name, value in shown.items() if value not in (None, [])}
    answer = page.post(DETAIL, {**sent, **values, "reason": "r"})
    assert answer.status_code == 200
    (error,) = answer.context["adminform"].form.errors[field]
    assert why in error
    assert PAGE in answer.text
