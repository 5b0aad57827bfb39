"""The log of a worker whose broker refuses: one line a minute, the next step, no content."""

from __future__ import annotations

import pytest
from redis.exceptions import ResponseError

from aifeature.policies import redis_replies
from project.database import health
from project.refusals import AGAIN_S, Refusals
from project.stack.local_dir import CHECKOUT

WRONG_TYPE = ResponseError("Command # 1 (HSET unacked MARK) of pipeline caused error: WRONGTYPE x")


def test_same_refusal_is_one_line_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    now = [0.0]
    refusals = Refusals(lambda: now[0])
    for second in range(600):
        now[0] = second / 10
        refusals.note("the request for messages", WRONG_TYPE)
    assert len(caplog.records) == 1
    now[0] = AGAIN_S
    refusals.note("the request for messages", WRONG_TYPE)
    refusals.note("an acknowledgement", WRONG_TYPE)
    assert len(caplog.records) == 3


def test_line_names_the_next_step_and_quotes_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    Refusals().note("a copy of a message", WRONG_TYPE)
    assert "a copy of a message was refused (WRONGTYPE)" in caplog.text
    assert "Rename or delete the key" in caplog.text
    assert "refusing-services.md" in caplog.text
    assert "MARK" not in caplog.text


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("UNBLOCKED force unblock from blocking operation", "read_only"),
        ("NOREPLICAS Not enough good replicas to write.", "no_replicas"),
        ("max number of clients reached", "no_connections"),
        ("SOMETHING new", "refuses"),
        ("Connection closed by server.", "down"),
        ("", "down"),
    ],
)
def test_each_answer_has_a_word(text: str, word: str) -> None:
    assert redis_replies.word(ResponseError(text)) == word
    assert redis_replies.sentence(word)


def test_runbook_has_each_word_of_readyz() -> None:
    runbook = CHECKOUT / "deploy" / "runbooks" / "refusing-services.md"
    postgres, redis = runbook.read_text().split("## Redis\n")
    of_postgres = {
        *health._WORDS.values(),
        *health._AT_CONNECT.values(),
        *health._SENTENCES,
        "refuses",
    }
    of_redis = {*redis_replies._WORDS.values(), *redis_replies._SENTENCES}
    for part, words in ((postgres, of_postgres), (redis, of_redis)):
        rows = "".join(line.split("|")[1] for line in part.splitlines() if line.startswith("|"))
        assert {word for word in words if f"`{word}`" not in rows} == set()
