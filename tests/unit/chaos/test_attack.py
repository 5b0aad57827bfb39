"""The errands of the malicious user, and the room that the caps leave for them."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest

from aifeature.features.summarize.feature import FEATURE
from tests.chaos import scenario
from tests.chaos.__main__ import LONG, SHORT
from tests.chaos.attack import LARGE_BYTES, ROUND, UNTIL, attack
from tests.chaos.caps import PHANTOM_CENTS, ROOM, CapRaiser, room_cents
from tests.chaos.injector import Done
from tests.chaos.run import Run
from tests.chaos.scenario import QUIET_S, Screen
from tests.chaos.users import Workload, scenarios
from workers.inference import InferenceRequest, Message, TextBlock
from workers.inference.pricing import upper_bound_micro

USERS = [(number, f"token-{number}") for number in range(1, 9)]


@pytest.mark.parametrize("run", [SHORT, LONG], ids=["short", "long"])
def test_the_attack_tries_every_way_with_large_documents(run: Run) -> None:
    made = attack(seed=7, rounds=run.attack_rounds, span_s=run.span_s)
    assert len(made) == run.attack_rounds * ROUND == len({each.key for each in made})
    assert {each.cancel_at for each in made} == {"last_word", "at_once", "end", "later"}
    sizes = [len(each.document.encode()) for each in made]
    assert LARGE_BYTES <= min(sizes) <= max(sizes) <= FEATURE.limits.max_input_bytes
    assert len({each.document for each in made}) == len(made)
    assert max(each.at_s for each in made) < UNTIL * run.span_s
    together = [each.at_s for each in made if each.cancel_at == "later"]
    assert len(set(together)) == run.attack_rounds < len(together)


@pytest.mark.parametrize("run", [SHORT, LONG], ids=["short", "long"])
def test_a_users_budget_holds_a_large_document_and_not_the_whole_attack(run: Run) -> None:
    document = attack(seed=7, rounds=1, span_s=run.span_s)[0].document
    assert len(document.encode()) > (FEATURE.routes[0].up_to_bytes or 0)
    model = FEATURE.routes[1].models[0]
    request = InferenceRequest(
        attempt_id=uuid4(),
        model=model,
        system=(),
        messages=(Message("user", (TextBlock(document),)),),
        max_tokens=1024,
        output_schema=None,
        stream=True,
        deadline_s=60,
    )
    bound_usd = upper_bound_micro(request) / 1_000_000
    budget_usd = float(run.user_budget_usd)
    assert 2 * bound_usd < budget_usd < run.attack_rounds * ROUND * bound_usd


def test_only_the_last_user_attacks() -> None:
    workload = Workload("http://x/", USERS, 200, 60.0, 90.0, seed=3, attack_rounds=2, log="d")
    attackers = {user.id for user, each in scenarios(workload) if "attack" in each.key}
    others = {user.id for user, each in scenarios(workload) if "attack" not in each.key}
    assert attackers == {8}
    assert 8 not in others


def test_a_text_is_whole_when_its_last_sentence_gets_no_more_words(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = [100.0]
    monkeypatch.setattr(scenario, "now", lambda: clock[0])
    screen = Screen()
    screen.take(b'event: delta\ndata: {"text": "All of it."}')
    assert not screen.is_whole()
    clock[0] += QUIET_S
    assert screen.is_whole()
    screen.take(b'event: delta\ndata: {"text": " More"}')
    clock[0] += 10 * QUIET_S
    assert not screen.is_whole(), "it ends in mid-sentence"


def test_caps_leave_the_same_room_for_one_fault_and_for_many() -> None:
    harmless, silence = Done(2, "beat_kill", "beat", 2.0), Done(1, "silence", "provider", 1.0)
    assert room_cents([harmless], attack_cents=0) == 0
    assert room_cents([harmless, silence], attack_cents=240) == PHANTOM_CENTS + 240
    assert room_cents(10 * [silence], attack_cents=240) == PHANTOM_CENTS + 240


def test_caps_rise_with_what_is_settled_and_with_the_room_and_never_fall() -> None:
    stack, room = _Stack(), [0]
    cap_raiser = CapRaiser(stack, lambda: room[0])  # type: ignore[arg-type]
    least = ROOM["feature"]
    cap_raiser._raise(0)
    assert stack.caps["daily_budget_usd"] == f"0.0{ROOM['global']}"
    assert stack.feature == f"0.0{least}"
    cap_raiser._raise(19_999)
    assert stack.feature == f"0.0{least + 1}"
    room[0] = 100
    cap_raiser._raise(19_999)
    assert stack.feature == f"1.0{least + 1}"
    room[0] = 0
    cap_raiser._raise(19_999)
    assert stack.feature == f"1.0{least + 1}"


class _Stack:
    """Stores the caps that the staff sets."""

    def __init__(self) -> None:
        self.caps: dict[str, str] = {}
        self.feature = ""
        self.staff = self

    def budget(self, slug: str, usd: dict[str, Any]) -> None:
        if slug == "summarize":
            self.feature = usd["daily_budget_usd"]
        else:
            self.caps |= usd
