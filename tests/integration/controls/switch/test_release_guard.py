"""A release needs its own audit row, of this switch and with a reason."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError

from aifeature.models import ControlChange, FeatureControl, KillMode
from aifeature.services.controls import switch
from aifeature.services.controls.effective import GLOBAL
from tests.integration.controls.switch.test_switch import commit

pytestmark = pytest.mark.django_db

REFUSED = "releasing its kill switch is refused"


def stop(slug: str, user: User) -> None:
    switch.stop(slug, reason="r", mode=KillMode.HOLD, user_id=user.pk)


def release_past_the_services(slug: str = "summarize") -> None:
    FeatureControl.objects.filter(feature=slug).update(killed=False)


@pytest.mark.django_db(transaction=True)
def test_an_earlier_release_releases_nothing_now(ada: User) -> None:
    """Its audit row stays, and the switch was pulled again."""
    stop("summarize", ada)
    switch.release("summarize", reason="Mended.", user_id=ada.pk)
    stop("summarize", ada)
    with pytest.raises(IntegrityError, match=REFUSED):
        release_past_the_services()
    assert switch.is_stopped("summarize")


def test_the_release_of_one_switch_releases_no_other(ada: User) -> None:
    for slug in ("summarize", GLOBAL):
        stop(slug, ada)

    def release_both() -> None:
        switch.release(GLOBAL, reason="Mended.", user_id=ada.pk)
        release_past_the_services()

    with pytest.raises(IntegrityError, match=REFUSED):
        commit(release_both)
    assert switch.is_stopped("summarize")
    assert switch.is_stopped(GLOBAL)


def test_a_record_without_a_reason_releases_nothing(ada: User) -> None:
    stop("summarize", ada)

    def release_it() -> None:
        ControlChange.objects.create(
            feature="summarize", field="killed", old="True", new="False", reason=" ", user=ada
        )
        release_past_the_services()

    with pytest.raises(IntegrityError, match=REFUSED):
        commit(release_it)
    assert switch.is_stopped("summarize")


def test_the_row_of_a_partial_release_cannot_be_deleted(ada: User) -> None:
    stop("summarize", ada)
    commit(lambda: switch.release("summarize", reason="Try.", user_id=ada.pk, percent=50))
    row = FeatureControl.objects.filter(feature="summarize")
    for take_away in (row.delete, lambda: row.update(feature="gone")):
        with pytest.raises(IntegrityError, match="is refused"):
            commit(take_away)
    assert row.get().release_percent == 50
