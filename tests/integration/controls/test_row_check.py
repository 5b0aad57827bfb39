"""Control rows that a rollback leaves: jobs run, pages open, and on-call is notified."""

from __future__ import annotations

import io
import runpy
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.test import Client

from aifeature import prompts, registry
from aifeature.models import Alert, Attempt, CheckRun, ControlChange, FeatureControl, Job, Status
from aifeature.services import access
from aifeature.services.alerting import alerts
from aifeature.services.controls import effective, row_check, switch
from aifeature.services.execution import job_run
from aifeature.services.jobs import lifecycle
from aifeature.services.jobs.refusals import NotFound
from project.stack.local_dir import CHECKOUT
from tests import proof
from tests.integration.admin.test_features import DETAIL, LIST, save, shown
from tests.integration.job_rows import MakeJob
from tests.sandbox_server import SandboxServer
from workers import tasks

pytestmark = [pytest.mark.slow, pytest.mark.django_db]

SUMMARIZE = registry.get("summarize")


@pytest.fixture
def page(db: None) -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("boss"))
    return client


def left_behind(**values: Any) -> None:
    """Write values of a newer release, which no service of this one would write."""
    _activate("summarize", values)
    FeatureControl.objects.update_or_create(feature="summarize", defaults=values)
    effective.cache.clear()


def _activate(slug: str, values: dict[str, Any]) -> None:
    """Store what the newer release activated before it opened the feature."""
    if values.get("stage"):
        proof.activated_elsewhere(slug, values.get("prompt_version", "") or "v4")


def open_alerts() -> list[tuple[str, str]]:
    found = Alert.objects.filter(closed_at=None).order_by("kind")
    return [(alert.kind, alert.subject) for alert in found]


@pytest.mark.usefixtures("committed")
def test_a_missing_prompt_is_replaced_by_that_of_the_code(
    make_job: MakeJob, sandbox: SandboxServer
) -> None:
    proof.activate("summarize")
    left_behind(prompt_version="v9", stage="everyone")
    job = make_job(input={"document": "A parcel was sent on Monday and came on Friday."})
    job_run.run_feature(job.id, worker="test")
    job.refresh_from_db()
    assert job.status == Status.SUCCEEDED
    attempt = Attempt.objects.get(job=job)
    ran = prompts.get("summarize", SUMMARIZE.prompt_version)
    assert (attempt.prompt_version, attempt.prompt_hash) == (ran.version, ran.hash)
    assert Job.objects.get(pk=job.pk).prompt_version == ran.version


def test_a_malformed_prompt_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_slug: str, version: str) -> Any:
        raise prompts.PromptError(f"prompt summarize/{version}: parameters: odd")

    left_behind(prompt_version="v1")
    assert effective.prompt_version(SUMMARIZE) == "v1"
    monkeypatch.setattr(prompts, "get", broken)
    assert effective.prompt_version(SUMMARIZE) == SUMMARIZE.prompt_version


def test_the_alert_opens_once_and_ends_with_its_cause() -> None:
    left_behind(prompt_version="v9")
    for _ in range(2):
        tasks.check_controls()
    (alert,) = Alert.objects.all()
    assert (alert.kind, alert.subject) == ("prompt_missing", "summarize")
    assert "The active prompt of summarize is v9" in alert.summary
    assert "Its jobs run with v4." in alert.summary
    assert "Deploy a release that has v9, or choose another version in admin" in alert.summary
    assert not CheckRun.objects.get(name="control.controls").ok
    effective.change("summarize", {"prompt_version": "v2"}, reason="r", check_name="test")
    tasks.check_controls()
    assert open_alerts() == []
    assert CheckRun.objects.get(name="control.controls").ok


def test_each_kind_of_alert_has_its_page() -> None:
    for kind in row_check.KINDS:
        assert (CHECKOUT / "deploy" / "runbooks" / f"{alerts.RUNBOOKS[kind]}.md").is_file()


def test_a_boot_warns_with_cause_and_next_step() -> None:
    left_behind(prompt_version="v9", stage="canary")
    output = io.StringIO()
    call_command("check", databases=["default"], stderr=output)
    assert output.getvalue().count("(aifeature.W001)") == 2
    for part in (
        "The active prompt of summarize is v9, which this release cannot use",
        "prompt summarize/v9 does not exist; there are: v1, v2, v3, v4. Its jobs run with v4.",
        "HINT: Deploy a release that has v9, or choose another version in admin, Features.",
        "The stage 'canary' of summarize does not exist in this release",
    ):
        assert part in output.getvalue()


def test_the_check_before_a_reload_includes_the_database() -> None:
    boot_check = runpy.run_path(str(CHECKOUT / "deploy" / "boot_check.py"))
    assert '"--database", "default"' in boot_check["_CHECK"]


def test_an_unknown_stage_closes_its_feature_and_breaks_no_page(page: Client, ada: User) -> None:
    left_behind(stage="canary", kill_mode="drain", killed=True)
    assert not access.is_visible(SUMMARIZE, ada)
    with pytest.raises(NotFound):
        lifecycle.submit(user=ada, slug="summarize", data={"document": "x"})
    for address in ("/admin/", LIST, DETAIL, f"{LIST}summarize/stop/", f"{LIST}summarize/release/"):
        assert page.get(address).status_code == 200, address
    row_check.check()
    assert open_alerts() == [("control_unknown", "summarize")]


def test_a_control_without_its_feature_breaks_no_page(page: Client) -> None:
    proof.activated_elsewhere("gone", "v9")
    FeatureControl.objects.update(stage="canary")
    gone = f"{LIST}gone/change/"
    for address in ("/admin/", LIST, gone, DETAIL):
        assert page.get(address).status_code == 200, address
    assert save(page, gone, percent="5", reason="Try.").status_code == 302
    assert FeatureControl.objects.get(feature="gone").percent == 5
    effective.change("gone", {"retention_days": 3}, reason="r", check_name="test")


def test_other_fields_can_be_edited_while_the_prompt_is_missing(page: Client) -> None:
    left_behind(prompt_version="v9", stage="canary")
    text = page.get(DETAIL).text
    assert "v9 (not in this release)" in text
    assert "canary (not in this release)" in text
    assert "v4 because v9 is not available" in page.get(LIST).text
    assert save(page, percent="7", reason="Try.").status_code == 302
    row = FeatureControl.objects.get(feature="summarize")
    assert (row.percent, row.prompt_version, row.stage) == (7, "v9", "canary")
    assert ControlChange.objects.get().field == "percent"
    assert save(page, prompt_version="v2", stage="staff", reason="Fix.").status_code == 302
    row.refresh_from_db()
    assert (row.prompt_version, row.stage) == ("v2", "staff")
    assert "not in this release" not in page.get(DETAIL).text
    fields: Any = page.get(DETAIL).context["adminform"].form.fields
    assert "v9" not in dict(fields["prompt_version"].choices)


@pytest.mark.parametrize("name", ["prompt_version", "stage"])
def test_an_unknown_value_cannot_be_newly_chosen(page: Client, name: str) -> None:
    assert "prompt_version" in shown(page)
    answer = save(page, **{name: "v9"}, reason="Try.")
    assert name in answer.context["adminform"].form.errors
    assert not ControlChange.objects.exists()


def test_an_invited_user_who_is_deleted_breaks_nothing(page: Client, ada: User, bob: User) -> None:
    left_behind(stage="beta")
    FeatureControl.objects.get().beta_users.set([ada, bob])
    bob.delete()
    effective.cache.clear()
    assert effective.cache.get("summarize").invited == {ada.pk}
    assert save(page, percent="5", reason="Try.").status_code == 302


def test_an_edit_writes_no_column_of_the_switch(monkeypatch: pytest.MonkeyPatch) -> None:
    """An edit that has read the row before a stop does not release the switch."""
    full_clean = FeatureControl.full_clean

    def pulled_meanwhile(row: FeatureControl, *args: Any, **kwargs: Any) -> None:
        full_clean(row, *args, **kwargs)
        FeatureControl.objects.filter(feature="summarize").update(killed=True)

    monkeypatch.setattr(FeatureControl, "full_clean", pulled_meanwhile)
    effective.change("summarize", {"percent": 5}, reason="r", check_name="test")
    assert switch.is_stopped("summarize")
