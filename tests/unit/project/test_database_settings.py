"""Django's database settings are made from a URL."""

from __future__ import annotations

import pytest
from django.conf import settings

from project.settings import _database


def options(url: str) -> str:
    found: str = _database(url, 5)["OPTIONS"]["options"]
    return found


@pytest.mark.parametrize(
    "query", ["", "?options=-c%20search_path%3Dapp", "?options=-c%20statement_timeout%3D9000"]
)
def test_open_transactions_have_a_time_limit(query: str) -> None:
    found = options(f"postgresql://db.example/app{query}")
    assert "-c idle_in_transaction_session_timeout=10000" in found
    assert found.endswith(query.partition("%20")[2].replace("%3D", "="))


def test_url_may_set_another_limit() -> None:
    """PostgreSQL uses the last of two values of one setting."""
    url = "postgresql://db.example/app?options=-c%20idle_in_transaction_session_timeout%3D60000"
    assert options(url).endswith("idle_in_transaction_session_timeout=60000")


def test_test_run_has_the_limit_too() -> None:
    assert (
        "idle_in_transaction_session_timeout" in settings.DATABASES["default"]["OPTIONS"]["options"]
    )
