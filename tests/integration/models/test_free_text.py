"""Words of people are stored without personal data, by each way to write a row."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User

from aifeature.models import ApiToken, ControlChange, Launch
from aifeature.models import free_text as module
from aifeature.models.free_text import UNCHECKED, free_text
from tests.integration.job_rows import make_launch

SAID = "Call anna.berg@postkontor.example"
STORED = "Call [EMAIL_1]"


def test_each_way_to_write_stores_it_without_personal_data(ada: User) -> None:
    launch = make_launch(note=SAID)
    assert (launch.note, Launch.objects.get().note) == (STORED, STORED)
    assert SAID not in str(launch)
    Launch.objects.update(note=f"{SAID} now")
    assert Launch.objects.get().note == f"{STORED} now"
    ControlChange.objects.bulk_create([ControlChange(feature="x", field="y", reason=SAID)])
    assert ControlChange.objects.get(feature="x").reason == STORED


def test_a_longer_placeholder_fits_the_column(ada: User) -> None:
    name = f"{'x' * 73} a@b.de"
    ApiToken.issue(user_id=ada.pk, name=name)
    assert ApiToken.objects.get().name == f"{'x' * 73} [EMAIL"


def test_words_that_cannot_be_checked_are_not_stored(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: str) -> str:
        raise RuntimeError(SAID)

    monkeypatch.setattr(module, "redact", broken)
    assert free_text(SAID) == UNCHECKED
