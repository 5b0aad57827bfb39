"""The rules of `triage` against sentences of tickets in four languages."""

from __future__ import annotations

import time
from collections import Counter

import pytest

from aifeature.features.triage import high_stakes
from aifeature.features.triage.high_stakes import Stake
from tests.unit.features.tickets import TICKETS

MISSED = {"I never agreed to have an account here. Delete it."}
"""Missed by the rules, which resolve no pronouns. The model must find it."""


def found(text: str) -> str:
    return " ".join(sorted(stake.name.lower() for stake in high_stakes.find(text)))


@pytest.mark.parametrize(("stakes", "text"), TICKETS, ids=[text[:40] for _, text in TICKETS])
def test_a_ticket_has_the_stakes_that_it_has(stakes: str, text: str) -> None:
    assert (found(text) == stakes) == (text not in MISSED)


def test_the_table_has_enough_of_each_kind() -> None:
    counts = Counter(kind for kinds, _ in TICKETS for kind in kinds.split() or [""])
    assert set(counts) == {"", *(stake.name.lower() for stake in Stake)}
    assert min(counts.values()) >= 30, counts


@pytest.mark.parametrize(
    "text",
    [
        "Please de\u00adlete my acc\u200bount.",
        "PLEASE DELETE MY ACCOUNT",
        "Please\n  delete\nmy account",
        "Bitte loeschen Sie mein Konto",
        "\uff24elete my account",
    ],
)
def test_spelling_hides_nothing(text: str) -> None:
    assert found(text) == "deletion"


@pytest.mark.parametrize(
    ("amount", "is_large"),
    [
        *[("500 dollars", False), ("500.00 USD", False), ("499,99 €", False), ("$12", False)],
        *[("$500.01", True), ("501 €", True), ("1.000 Euro", True), ("USD 1,000", True)],
        *[("1 200,50 €", True), ("£9'600", True), ("1000 points", False), ("page 2024", False)],
    ],
)
def test_the_limit_of_a_refund_is_read_from_any_way_to_write_it(
    amount: str, is_large: bool
) -> None:
    assert found(f"Please refund {amount}.") == ("refund" if is_large else "")


def test_an_amount_far_from_the_words_for_a_refund_is_another_matter() -> None:
    text = "Please refund the course. " + "It was a nice course. " * 20 + "Our budget is $9,000."
    assert found(text) == ""


@pytest.mark.parametrize(
    "piece", ["delete my ", "refund 1 ", "a", "can see ", "1,111", "sue ", '"']
)
def test_no_ticket_takes_long(piece: str) -> None:
    """A pattern that tries all ways to match would take minutes; the limit of a hook is 5 s."""
    begun = time.process_time()
    high_stakes.find((piece * 20_000)[:20_000])
    assert time.process_time() - begun < 2
