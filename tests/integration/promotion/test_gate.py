"""No prompt goes live unproven: by no path, and with no evidence but its own."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from aifeature import prompts, registry
from aifeature.models import Activation, Alert, ControlChange, Evidence, FeatureControl, Stage
from aifeature.services import controls, jobs
from aifeature.services.promotion import (
    RefusedError,
    activations,
    evidence,
    gate_check,
    refusals,
    subjects,
)
from tests import proof

SUMMARIZE = registry.get("summarize")
SLUG = "summarize"

pytestmark = pytest.mark.django_db


def live() -> str | None:
    controls.clear_cache()
    return controls.live_version(SUMMARIZE)


def sql(statement: str, *values: Any) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement, values)


def refused_by_database(statement: str, *values: Any) -> str:
    with pytest.raises(IntegrityError) as refusal:
        sql(statement, *values)
    return str(refusal.value)


def proven(version: str, **values: Any) -> Evidence:
    """Evidence as an evaluation of today would store it."""
    subject = subjects.of(SUMMARIZE, version)
    of_subject = {
        "fingerprint": subject.fingerprint,
        "conditions": subjects.as_json(subject.conditions),
    }
    return proof.evidence(SLUG, version, **of_subject, **values)


@pytest.fixture
def sam(ada: User) -> User:
    return User.objects.create_user("sam", is_staff=True)


def test_no_path_leads_from_nothing_to_users() -> None:
    """Without evidence: the service, the control, SQL on either table, a new control row."""
    with pytest.raises(RefusedError, match="Evaluate it: python -m evals run"):
        activations.activate(SLUG, "v4", reason="r", check_name="test")
    with pytest.raises(ValidationError, match="only staff"):
        controls.change(SLUG, {"stage": Stage.EVERYONE}, reason="r", check_name="test")
    FeatureControl.objects.create(feature=SLUG, stage=Stage.STAFF, prompt_version="v4")
    assert "only staff" in refused_by_database(
        "UPDATE aifeature_featurecontrol SET stage = 'everyone' WHERE feature = 'summarize'"
    )
    assert "only staff" in refused_by_database(
        "INSERT INTO aifeature_featurecontrol (feature, stage, percent, prompt_version, updated_at)"
        " VALUES ('triage', 'beta', 0, 'v1', now())"
    )
    assert "no evidence" in refused_by_database(
        "INSERT INTO aifeature_activation (feature, provider, version, prompt_hash, kind,"
        " check_name, reason) VALUES ('summarize', 'sandbox', 'v4', 'x', 'activated', 'me', 'r')"
    )
    assert live() is None


def test_another_version_than_the_live_one_is_refused_at_stages_with_users() -> None:
    proof.open_to_users(SLUG)
    for version in ("v2", "v9", ""):
        said = refused_by_database(
            "UPDATE aifeature_featurecontrol SET prompt_version = %s WHERE feature = 'summarize'",
            version,
        )
        assert "users may get only what is activated: v4" in said
    with pytest.raises(ValidationError) as refusal:
        controls.change(SLUG, {"prompt_version": "v2"}, reason="r", check_name="test")
    assert "prompt_version" in refusal.value.message_dict
    controls.change(SLUG, {"stage": Stage.STAFF}, reason="r", check_name="test")
    controls.change(SLUG, {"prompt_version": "v2"}, reason="r", check_name="test")
    assert (live(), controls.prompt_version(SUMMARIZE)) == ("v4", "v2"), "staff try it"


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"passed": False, "verdict": {"decision": "regression"}}, "did not pass"),
        ({"fresh_until": timezone.now() - timedelta(seconds=1)}, "too old"),
        ({"measured_at": timezone.now() + timedelta(hours=1)}, "a clock is wrong"),
        ({"provider": "anthropic", "fresh_until": timezone.now() + timedelta(days=9)}, "evidence"),
        ({"prompt_hash": "0" * 64}, "The evidence is of"),
    ],
)
def test_evidence_that_does_not_count(values: dict[str, Any], why: str) -> None:
    """Failed, stale, of the future, of another provider, of a text that no code has."""
    proven("v4", **values)
    with pytest.raises(RefusedError, match=why):
        activations.activate(SLUG, "v4", reason="r", check_name="test")
    assert live() is None


def test_evidence_of_another_suite_is_named_and_does_not_count(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The suite was edited since, perhaps during the run."""
    conditions = {**subjects.as_json(subjects.conditions(SUMMARIZE)), "suite": "edited"}
    proof.evidence(SLUG, "v4", conditions=conditions)
    with pytest.raises(RefusedError, match="The newest is of another suite"):
        activations.activate(SLUG, "v4", reason="r", check_name="test")


def test_the_newest_evidence_of_a_prompt_counts() -> None:
    older = proven("v4")
    proven("v4", passed=False, verdict={"decision": "regression"})
    with pytest.raises(RefusedError, match="did not pass"):
        activations.activate(SLUG, "v4", reason="r", check_name="test")
    assert "newer evidence" in refused_by_database(
        "INSERT INTO aifeature_activation (feature, provider, version, prompt_hash, kind,"
        " check_name, reason, evidence_id)"
        " VALUES ('summarize', 'sandbox', 'v4', %s, 'activated', 'me', 'r', %s)",
        older.prompt_hash,
        older.pk,
    )


def test_an_activation_is_live_at_once_and_on_record(sam: User) -> None:
    proven("v4")
    with pytest.raises(RefusedError, match="It needs a reason"):
        activations.activate(SLUG, "v4", reason=" ", user_id=sam.pk)
    row = activations.activate(SLUG, "v4", reason="It passed.", user_id=sam.pk)
    assert (live(), row.kind, row.user) == ("v4", "activated", sam)
    change = ControlChange.objects.get(field="live_prompt")
    assert (change.new, change.reason) == (f"v4 {row.prompt_hash[:8]}", "It passed.")
    assert change.figures == {"kind": "activated", "evidence": str(row.evidence_id)}
    controls.change(SLUG, {"stage": Stage.EVERYONE}, reason="r", check_name="test")


def test_a_refused_attempt_of_a_person_is_on_record(
    sam: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once for the same clicks, for a bounded number of others, and never for a check."""
    monkeypatch.setattr(refusals, "MOST", 2)
    proof.activate(SLUG, "v1")
    live_id = Activation.objects.get().pk

    def attempt(version: str, **by: Any) -> None:
        with pytest.raises(RefusedError):
            activations.activate(SLUG, version, reason="Try it.", **by)

    attempt("v4", check_name="test")
    attempt("v4", user_id=sam.pk, seen=live_id + 1)  # a page that was out of date
    for version in ("v4", "v4", "v2", "v3", "v9"):
        attempt(version, user_id=sam.pk, seen=live_id)
    newest, first = ControlChange.objects.filter(field=refusals.FIELD).order_by("-id")
    assert first.new.startswith("v4 refused: summarize v4 has no evidence with sandbox.")
    assert (first.old, first.reason, first.user) == ("v1", "Try it.", sam)
    assert newest.new.startswith("v2 refused:")
    assert live() == "v1"


def test_rows_are_never_edited_or_deleted() -> None:
    row = proof.activate(SLUG)
    for model, change in (
        (Evidence, "UPDATE aifeature_evidence SET passed = false"),
        (Evidence, "UPDATE aifeature_evidence SET fresh_until = NULL"),
        (Activation, "UPDATE aifeature_activation SET expires_at = now() + interval '1 day'"),
        (Evidence, "DELETE FROM aifeature_evidence"),
        (Activation, "DELETE FROM aifeature_activation"),
    ):
        assert "refused" in refused_by_database(change)
        assert model.objects.exists()
    assert live() == row.version
    impossible: list[dict[str, Any]] = [
        {"fresh_until": None, "provider": "anthropic"},
        {"verdict": {}},
    ]
    for values in impossible:
        with pytest.raises(IntegrityError), transaction.atomic():
            proof.evidence(SLUG, **values)


def test_two_people_activate_different_versions_and_the_second_is_refused() -> None:
    """Both compared their version with v1. The second one would replace v4 unseen."""
    proof.activate(SLUG, "v1")
    v1 = Activation.objects.get().prompt_hash
    proven("v2", live_hash=v1)
    proven("v4", live_hash=v1)
    activations.activate(SLUG, "v4", reason="r", check_name="one")
    with pytest.raises(RefusedError, match="does not compare it with v4, which is live now"):
        activations.activate(SLUG, "v2", reason="r", check_name="other")
    assert live() == "v4"


def test_stale_evidence_stops_more_users_and_never_a_live_prompt(ada: User) -> None:
    proof.open_to_users(SLUG, stage=Stage.PERCENT, percent=5)
    controls.change(SLUG, {"percent": 6}, reason="r", check_name="test")
    row = Activation.objects.get()
    proof.evidence(SLUG, fresh_until=timezone.now() - timedelta(days=1))
    for more in ({"percent": 7}, {"stage": Stage.EVERYONE}):
        with pytest.raises(ValidationError, match="too old"):
            controls.change(SLUG, more, reason="r", check_name="test")
    controls.change(SLUG, {"percent": 5}, reason="r", check_name="test")
    assert live() == row.version
    assert controls.stage(SUMMARIZE) == Stage.PERCENT


def test_a_roll_back_goes_to_the_newest_earlier_version_at_any_age() -> None:
    for version in ("v1", "v2"):
        proof.activate(SLUG, version)
    old = timezone.now() - timedelta(days=400)
    proof.evidence(SLUG, "v2", fresh_until=old)
    proof.activate(SLUG)
    assert activations.roll_back(SLUG, reason="Worse.", check_name="test").version == "v2"
    assert live() == "v2"
    assert activations.roll_back(SLUG, reason="Worse.", check_name="test").version == "v1"
    with pytest.raises(RefusedError, match="No earlier version"):
        activations.roll_back(SLUG, reason="Worse.", check_name="test")
    assert live() == "v1"


def test_a_prompt_rolled_back_does_not_return_by_itself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The code lacks the version of the roll-back: the one before serves, not the bad one."""
    for version in ("v1", "v2", "v4"):
        proof.activate(SLUG, version)
    activations.roll_back(SLUG, reason="Worse.", check_name="test")
    has = controls.live.has
    monkeypatch.setattr(controls.live, "has", lambda f, p: p.version != "v2" and has(f, p))
    assert live() == "v1"


def test_an_override_needs_two_people_and_ends(ada: User, sam: User) -> None:
    proof.open_to_users(SLUG)
    proof.activate(SLUG, "v1")
    request = activations.request_override(SLUG, "v2", hours=2, reason="Leak", user_id=ada.pk)
    assert live() == "v1"
    with pytest.raises(RefusedError, match="A second person approves"):
        activations.approve_override(request.pk, reason="ok", user_id=ada.pk)
    row = activations.approve_override(request.pk, reason="ok", user_id=sam.pk)
    assert (live(), row.version) == ("v2", "v2")
    with pytest.raises(RefusedError, match="already"):
        activations.approve_override(request.pk, reason="ok", user_id=sam.pk)
    activations.end_override(SLUG, reason="Done", user_id=sam.pk)
    assert live() == "v1"
    assert FeatureControl.objects.get(feature=SLUG).prompt_version == "v1"


def test_an_expired_override_is_over_by_the_database_clock(ada: User, sam: User) -> None:
    proof.open_to_users(SLUG)
    request = activations.request_override(SLUG, "v2", hours=1, reason="Leak", user_id=ada.pk)
    begun = timezone.now() - timedelta(hours=2)
    Activation.objects.create(
        **{f: getattr(request, f) for f in ("feature", "provider", "version", "prompt_hash")},
        kind=Activation.Kind.OVERRIDDEN,
        request=request,
        user=sam,
        reason="ok",
        expires_at=begun + timedelta(hours=1),
    )
    assert live() == "v4"


def test_a_deploy_that_changes_the_hash_serves_staff_only_until_evidence_exists(
    ada: User, sam: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    proof.open_to_users(SLUG)
    proven("v4")
    assert SUMMARIZE in jobs.visible_features(user=ada)
    route = SUMMARIZE.routes[-1].model_copy(update={"models": ("claude-opus-5-5",)})
    changed = SUMMARIZE.model_copy(update={"routes": (route,)})
    features = {**registry.all_features(), SLUG: changed}
    monkeypatch.setattr(registry, "all_features", lambda: features)
    prompts.get.cache_clear()
    try:
        controls.clear_cache()
        assert controls.stage(changed) == Stage.STAFF
        assert changed not in jobs.visible_features(user=ada)
        assert changed in jobs.visible_features(user=sam)
        assert activations.settle(changed) is None
        subject = subjects.of(changed, "v4")
        proof.evidence(SLUG, fingerprint=subject.fingerprint)
        settled = activations.settle(changed)
        assert settled is not None
        assert settled.kind == Activation.Kind.DEPLOYED
        features[SLUG] = SUMMARIZE  # an old process beside the new one
        prompts.get.cache_clear()
        assert activations.settle(SUMMARIZE) is None
        assert live() == "v4"
        features[SLUG] = changed
        prompts.get.cache_clear()
        assert changed in jobs.visible_features(user=ada)
    finally:
        prompts.get.cache_clear()


def test_another_default_version_of_the_code_changes_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    proof.activate(SLUG, "v2")
    assert SUMMARIZE.prompt_version == "v4"
    assert live() == "v2"


def test_a_database_restored_from_before_an_activation_serves_by_its_rows() -> None:
    """A dump of the tables at different moments: the control names v4, its activation is gone."""
    proof.open_to_users(SLUG)
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("SET LOCAL aifeature.may_truncate = 'yes'")
        cursor.execute("TRUNCATE aifeature_activation CASCADE")
    proof.evidence("moderation")
    assert live() is None
    assert controls.stage(SUMMARIZE) == Stage.STAFF
    assert "serves staff only" in gate_check.check().result
    assert Alert.objects.get(closed_at=None).kind == "prompt_unproven"
    proof.activate(SLUG, "v1")
    FeatureControl.objects.filter(feature=SLUG).update(stage=Stage.STAFF, prompt_version="v4")
    FeatureControl.objects.filter(feature=SLUG).update(prompt_version="v1", stage="everyone")
    gate_check.check()
    assert live() == "v1"
    assert not Alert.objects.filter(closed_at=None).exists()


def test_a_moderation_prompt_without_evidence_is_an_alert_while_an_open_feature_needs_it() -> None:
    assert gate_check.at_boot() == []
    proof.activate(SLUG)
    controls.change(SLUG, {"stage": Stage.EVERYONE}, reason="test", check_name="test")
    missing = "moderation v1, which reads answers of summarize, has no evidence with sandbox."
    fix = "Evaluate it: python -m evals run moderation --prompt v1"
    assert gate_check.at_boot() == [f"{missing} {fix}"]
    proof.evidence("moderation", prompt_hash="e" * 64)
    assert missing in gate_check.check().result, "it is of another text"
    assert Alert.objects.get(closed_at=None).subject == "moderation"
    proof.evidence("moderation")
    assert (gate_check.check().ok, gate_check.at_boot()) == (True, [])
    assert not Alert.objects.filter(closed_at=None).exists()
    proof.evidence("moderation", passed=False, verdict={"decision": "regression"})
    assert "did not pass with sandbox" in gate_check.check().result
    controls.change(SLUG, {"stage": Stage.STAFF}, reason="r", check_name="test")
    assert gate_check.at_boot() == []


def test_the_check_shows_what_is_live_after_an_override_has_expired(ada: User, sam: User) -> None:
    proof.open_to_users(SLUG)
    proof.evidence("moderation")
    request = activations.request_override(SLUG, "v2", hours=1, reason="Leak", user_id=ada.pk)
    row = activations.approve_override(request.pk, reason="ok", user_id=sam.pk)
    gate_check.check()
    assert Alert.objects.get(closed_at=None).kind == "prompt_override"
    _expire(row)
    gate_check.check()
    control = FeatureControl.objects.get(feature=SLUG)
    assert (live(), control.prompt_version) == ("v4", "v4")
    change = ControlChange.objects.filter(field="prompt_version").latest("id")
    assert (change.old, change.new, change.check_name) == ("v2", "v4", "control.controls")
    assert not Alert.objects.filter(closed_at=None).exists()


def test_a_later_activation_ends_an_override_for_good(ada: User, sam: User) -> None:
    proof.open_to_users(SLUG)
    longer = _overridden("v1", 5, ada, sam)
    shorter = _overridden("v2", 1, ada, sam)
    assert live() == "v2"
    _expire(shorter)
    assert live() == "v4", f"{longer} does not come back"
    assert activations.open_override(SLUG) is None


def test_a_measurement_of_an_older_version_takes_no_roll_back_away() -> None:
    proof.activate(SLUG, "v2")
    proof.activate(SLUG)
    proof.evidence(SLUG, "v2", passed=False, verdict={"decision": "regression"})
    assert activations.roll_back(SLUG, reason="Worse.", check_name="test").version == "v2"


def test_nothing_but_an_override_was_live_and_no_roll_back_goes_forward(
    ada: User, sam: User
) -> None:
    _overridden("v1", 5, ada, sam)
    found = proof.evidence(SLUG, fresh_until=timezone.now() - timedelta(days=1))
    assert "A roll-back goes to a version before v1" in refused_by_database(
        "INSERT INTO aifeature_activation (feature, provider, version, prompt_hash, kind,"
        " check_name, reason, evidence_id)"
        " VALUES ('summarize', 'sandbox', 'v4', %s, 'rolled_back', 'me', 'r', %s)",
        found.prompt_hash,
        found.pk,
    )


def test_a_later_regression_under_other_conditions_counts_against_older_evidence() -> None:
    older = proven("v4")
    failed: dict[str, Any] = {
        "passed": False,
        "verdict": {"decision": "regression"},
        "fingerprint": "f" * 64,
    }
    proof.evidence(SLUG, **failed)
    assert "newer evidence" in refused_by_database(
        "INSERT INTO aifeature_activation (feature, provider, version, prompt_hash, kind,"
        " check_name, reason, evidence_id)"
        " VALUES ('summarize', 'sandbox', 'v4', %s, 'activated', 'me', 'r', %s)",
        older.prompt_hash,
        older.pk,
    )


def test_a_roll_back_ends_an_override_also_of_an_older_version(ada: User, sam: User) -> None:
    proof.open_to_users(SLUG)
    proof.evidence(SLUG, fingerprint="of last week")
    _overridden("v1", 5, ada, sam)
    assert activations.roll_back(SLUG, reason="Worse.", check_name="test").version == "v4"
    assert live() == "v4"


def test_a_clock_that_jumps_back_changes_no_order(ada: User, sam: User) -> None:
    """Neither of evidence, nor of what is live."""
    proof.open_to_users(SLUG)
    ahead = proven("v2", created_at=timezone.now() + timedelta(days=2))
    later = proven("v2", passed=False, verdict={"decision": "regression"})
    later.refresh_from_db()
    assert later.created_at > Evidence.objects.get(pk=ahead.pk).created_at
    row = _overridden("v1", 1, ada, sam)
    _expire(row)
    gate_check.check()
    _expire(row, "now() + interval '1 hour'")
    assert live() == "v4", "it is over for good"


def test_no_more_users_get_a_prompt_that_an_override_made_live(ada: User, sam: User) -> None:
    proof.open_to_users(SLUG, stage=Stage.PERCENT, percent=5)
    _overridden("v2", 1, ada, sam)
    with pytest.raises(ValidationError, match="An override is live"):
        controls.change(SLUG, {"percent": 6}, reason="r", check_name="test")


def _overridden(version: str, hours: int, ada: User, sam: User) -> Activation:
    request = activations.request_override(
        SLUG, version, hours=hours, reason="Leak", user_id=ada.pk
    )
    return activations.approve_override(request.pk, reason="ok", user_id=sam.pk)


def test_evidence_of_another_provider_opens_a_feature_to_no_user(settings: Any) -> None:
    """A database that served a real model, and the sandbox beside it."""
    settings.AIFEATURE = {**settings.AIFEATURE, "PROVIDER": "anthropic", "BASE_URL": None}
    proof.activate(SLUG, fresh_until=timezone.now() + timedelta(days=1))
    controls.change(SLUG, {"stage": Stage.PERCENT, "percent": 5}, reason="r", check_name="t")
    proof.evidence(SLUG, fresh_until=timezone.now() - timedelta(seconds=1))
    settings.AIFEATURE = {**settings.AIFEATURE, "PROVIDER": "sandbox"}
    proof.activate(SLUG, fingerprint="of the sandbox")
    raise_share = "UPDATE aifeature_featurecontrol SET percent = 50 WHERE feature = 'summarize'"
    assert "too old" in refused_by_database(raise_share)
    settings.AIFEATURE = {**settings.AIFEATURE, "PROVIDER": "anthropic"}
    with pytest.raises(ValidationError, match="too old"):
        controls.change(SLUG, {"percent": 50}, reason="r", check_name="t")


def test_a_control_follows_after_a_change_of_the_provider(settings: Any) -> None:
    ours = {**settings.AIFEATURE, "PROVIDER": "anthropic", "BASE_URL": None}
    end = timezone.now() + timedelta(days=1)
    settings.AIFEATURE = ours
    proof.activate(SLUG, fresh_until=end)
    controls.change(SLUG, {"stage": Stage.EVERYONE}, reason="r", check_name="t")
    settings.AIFEATURE = {**ours, "BASE_URL": "https://gateway.example"}
    proof.activate(SLUG, "v2", fresh_until=end)
    settings.AIFEATURE = ours
    gate_check.check()
    assert FeatureControl.objects.get(feature=SLUG).prompt_version == live() == "v4"


def _expire(row: Activation, at: str = "now() - interval '1 second'") -> None:
    """Let the hours pass. The trigger refuses such a change."""
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("SET LOCAL session_replication_role = 'replica'")
        cursor.execute(
            f"UPDATE aifeature_activation SET expires_at = {at} WHERE id = %s",  # noqa: S608
            [row.pk],
        )
        cursor.execute("SET LOCAL session_replication_role = 'origin'")


def test_evidence_travels_between_databases_once() -> None:
    row = proven("v4")
    dumped = evidence.dump([row])
    assert evidence.load(dumped, origin=Evidence.Origin.LOADED) == 0
    dumped[0]["id"] = "11111111-1111-4111-8111-111111111111"
    assert evidence.load(dumped, origin=Evidence.Origin.LOADED) == 1
    loaded = Evidence.objects.get(pk=dumped[0]["id"])
    assert (loaded.fingerprint, loaded.passed, loaded.origin) == (row.fingerprint, True, "loaded")
    with pytest.raises(ValidationError):
        evidence.load(
            [{**dumped[0], "id": str(row.pk)[:-1] + "0", "feature": ""}],
            origin=Evidence.Origin.LOADED,
        )
