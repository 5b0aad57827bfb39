"""The publish window: its size, and the turns of users."""

from __future__ import annotations

import base64
import itertools
import json
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier
from typing import Any
from uuid import UUID

import pytest
from django.conf import settings as django_settings
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.db.models.functions import Now
from redis import Redis

from aifeature.models import (
    Attempt,
    FeatureControl,
    Job,
    Status,
    Worker,
    fair_queue,
    heartbeats,
    transitions,
)
from aifeature.models.functions import rows
from aifeature.models.transitions import FencedError
from aifeature.policies.release import place
from aifeature.services.controls import effective
from aifeature.services.dispatch import dispatcher, publisher
from aifeature.services.dispatch.worker_agent import WorkerAgent
from aifeature.services.jobs import lifecycle
from tests.integration.job_rows import MakeJob, age, begin, claim

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("committed")]

FLOOR = 8
"""Slots that are assumed while no worker is present."""


@pytest.fixture(autouse=True)
def _queue(settings: Any) -> Iterator[None]:
    """The `llm` queue of the real broker, empty."""
    with Redis.from_url(settings.REDIS_URL) as client:
        client.delete("llm")
        yield
        client.delete("llm")


def sent() -> list[UUID]:
    """Return the jobs in the queue, in the order in which workers receive them."""
    with Redis.from_url(django_settings.REDIS_URL) as client:
        messages = [json.loads(raw) for raw in reversed(client.lrange("llm", 0, -1))]
    bodies = [json.loads(base64.b64decode(message["body"])) for message in messages]
    return [UUID(body[1]["job_id"]) for body in bodies]


def choose(limit: int = 500, **max_concurrency: int) -> list[UUID]:
    found = fair_queue.dispatch(
        limit=limit, lost_after_s=60, again_after_s=10, max_concurrency=max_concurrency
    )
    return [job for _, job in found]


def alive(worker: str, *, slots: int, queue: str = "llm") -> None:
    heartbeats.alive(rows, worker, queue=queue, slots=slots)


def many(count: int, user: User, **fields: object) -> list[Job]:
    """Insert queued jobs of a user, each a little younger than the one before."""
    return Job.objects.bulk_create(
        Job(
            user=user,
            feature=str(fields.get("feature", "summarize")),
            input={"document": "Text."},
            run_at=Now() - timedelta(seconds=count - number),
            deadline_at=Now() + timedelta(seconds=300),
        )
        for number in range(count)
    )


def owners(chosen: list[UUID]) -> list[str]:
    names = dict(Job.objects.values_list("pk", "user__username"))
    return [names[job] for job in chosen]


def test_the_window_is_twice_the_slots_of_live_workers(ada: User) -> None:
    alive("llm@a", slots=30)
    alive("llm@b", slots=10)
    alive("llm@gone", slots=1000)
    Worker.objects.filter(name="llm@gone").update(seen_at=Now() - timedelta(seconds=21))
    many(200, ada)
    first = choose()
    assert len(first) == 80
    assert choose() == []
    for job in first[:5]:
        taken = claim(Job.objects.get(pk=job))
    assert choose() == [], "a job that runs is still out"
    transitions.return_to_queue(taken, delay_s=60, counts_as_try=False)
    assert len(choose()) == 1


@pytest.mark.parametrize("queues", [(), ("evals", "control")])
def test_without_workers_of_its_queue_the_window_is_small(ada: User, queues: tuple[str]) -> None:
    for queue in queues:
        alive(f"{queue}@a", queue=queue, slots=30)
    many(100, ada)
    assert len(choose()) == 2 * FLOOR


def test_users_take_turns_however_many_jobs_one_has(ada: User, bob: User) -> None:
    many(300, ada)
    assert set(owners(choose())) == {"ada"}
    carl = User.objects.create_user("carl")
    many(3, bob)
    many(2, carl)
    Job.objects.filter(published_at__isnull=False).update(
        status="failed", finished_at=Now()
    )  # the window is empty again
    names = owners(choose(limit=9))
    assert Counter(names) == {"ada": 4, "bob": 3, "carl": 2}
    assert {"bob", "carl"} <= set(names[:3]), "the last user does not wait for the others"


def test_the_turn_goes_on_where_it_stopped(ada: User, bob: User) -> None:
    many(10, ada)
    many(10, bob)
    names = [owners(choose(limit=1))[0] for _ in range(6)]
    assert all(one != other for one, other in itertools.pairwise(names))


def test_the_oldest_job_of_a_user_is_the_first(ada: User) -> None:
    made = many(5, ada)
    assert choose(limit=2) == [made[0].pk, made[1].pk]


def test_users_whose_jobs_are_not_due_are_skipped(ada: User, bob: User) -> None:
    later = many(20, ada)
    Job.objects.filter(pk__in=[job.pk for job in later]).update(run_at=Now() + timedelta(hours=1))
    many(2, bob)
    assert owners(choose()) == ["bob", "bob"]


def test_thousands_of_waiting_jobs_cost_a_dispatcher_little(ada: User) -> None:
    """The statistics of the table are those of an empty queue."""
    users, choices = 3000, 3
    crowd = User.objects.bulk_create(User(username=f"u{number}") for number in range(users))
    later, deadline = Now() + timedelta(hours=1), Now() + timedelta(hours=2)
    made = [
        Job(user=user, feature="summarize", input={}, run_at=later, deadline_at=deadline)
        for user in crowd
    ]
    Job.objects.bulk_create(made)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE aifeature_job")
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute("DELETE FROM aifeature_job")
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE aifeature_job")
    with transaction.atomic():  # so that no other session reads or analyses these jobs
        Job.objects.bulk_create(made)
        before = jobs_read()
        assert choose() == []
        (due,) = many(1, crowd[-1])
        assert due.pk in [*choose(), *choose()]
        readings = (jobs_read() - before) / (users * choices)
        assert 1 <= readings < 10, "reading the queue at each step makes it a thousand"


def jobs_read() -> int:
    """Return the number of job rows that this transaction has read."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_xact_user_tables"
            " WHERE relname = 'aifeature_job'"
        )
        return int(cursor.fetchone()[0])


def test_an_unsent_job_is_chosen_again_while_a_thread_is_free(ada: User) -> None:
    """The process that chose it was killed before sending."""
    alive("llm@a", slots=20)
    many(60, ada)
    unsent = choose()
    assert len(unsent) == 40
    assert choose() == []
    Job.objects.filter(pk__in=unsent).update(published_at=Now() - timedelta(seconds=11))
    assert sorted(choose()) == sorted(unsent)


def test_while_all_threads_are_busy_a_message_may_wait_longer(ada: User) -> None:
    alive("llm@a", slots=20)
    many(60, ada)
    for job in choose()[:20]:
        claim(Job.objects.get(pk=job))
    waiting = Job.objects.filter(status="queued", published_at__isnull=False)
    waiting.update(published_at=Now() - timedelta(seconds=11))
    assert choose() == []


def test_a_stopped_feature_does_not_hold_up_another(ada: User, bob: User) -> None:
    FeatureControl.objects.create(feature="summarize", killed=True)
    many(50, ada)
    many(2, bob, feature="triage")
    assert owners(choose()) == ["bob", "bob"]


def test_concurrent_dispatchers_choose_different_jobs(ada: User) -> None:
    alive("llm@a", slots=20)
    many(100, ada)
    together = Barrier(8)

    def one(_: int) -> list[UUID]:
        together.wait()
        try:
            return choose(limit=10)
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as threads:
        chosen = [job for found in threads.map(one, range(8)) for job in found]
    assert len(chosen) == len(set(chosen)) == 40


def test_an_expired_run_of_a_lost_worker_is_published(make_job: MakeJob) -> None:
    job = make_job()
    assert choose() == [job.pk]
    claim(job, lease_s=300)
    age(job, published_at=timedelta(seconds=4))
    assert choose() == [], "its lease has not run out"
    age(job, lease_until=timedelta(seconds=1))
    assert choose() == [job.pk]
    assert choose() == [], "the message for it is on its way"
    age(job, published_at=timedelta(seconds=11), lease_until=timedelta(seconds=12))
    assert choose() == [job.pk], "that one got lost"


def test_a_submission_is_handed_over_while_a_thread_is_free(ada: User, opened: None) -> None:
    accepted = [
        lifecycle.submit(user=ada, slug="summarize", data={"document": f"Text {number}."}).job
        for number in range(FLOOR + 3)
    ]
    assert sent() == [job.pk for job in accepted[:FLOOR]]
    assert len(choose()) == 3, "the rest is the dispatcher's"


def test_an_emptied_broker_gets_every_job_again(make_job: MakeJob) -> None:
    client = dispatcher._client()
    client.delete(dispatcher.MARKER)
    dispatcher.turn()
    handed_over = make_job(published_at=Now())
    running = make_job()
    claim(running)
    dispatcher.turn()
    assert sent() == []
    client.delete(dispatcher.MARKER)
    dispatcher.turn()
    assert sent() == [handed_over.pk]
    dispatcher.turn()
    assert sent() == [handed_over.pk], "once"


def test_the_dispatcher_sleeps_until_a_job(
    make_job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert dispatcher.turn() == dispatcher.MOST_SLEEP_S
    make_job(run_at=Now() + timedelta(seconds=60))
    assert dispatcher.turn() == dispatcher.MOST_SLEEP_S, "a nearer one may come"
    longest = dispatcher.MOST_SLEEP_S
    monkeypatch.setattr(dispatcher, "MOST_SLEEP_S", 3600.0)  # longer than the wait for the job
    assert longest < dispatcher.turn() <= 60


def test_a_message_that_cannot_become_a_run_is_chosen_again(
    make_job: MakeJob, agent: WorkerAgent
) -> None:
    waiting, running = make_job(published_at=Now()), make_job(published_at=Now())
    claim(running)
    agent.hand_back(waiting.pk)
    agent.hand_back(running.pk)
    agent.turn()
    waiting.refresh_from_db()
    running.refresh_from_db()
    assert waiting.published_at is not None, "the same turn chose it again"
    assert running.status == "running"
    assert not agent._handed_back


def test_a_queued_job_past_its_deadline_ends_without_a_worker(make_job: MakeJob) -> None:
    cases = {
        "": "deadline_exceeded",
        "provider_waiting": "provider_unavailable",
        "budget_held": "budget_spent",
    }
    overdue = {code: make_job(wait_reason=code, published_at=Now()) for code in cases}
    in_time = make_job(published_at=Now())
    for job in overdue.values():
        age(job, deadline_at=timedelta(seconds=1))
    dispatcher.turn()
    for code, job in overdue.items():
        job.refresh_from_db()
        assert (job.status, job.error_code) == ("failed", cases[code])
        assert (job.cancelled_by, job.error_message[-1]) == ("deadline", ".")
    in_time.refresh_from_db()
    assert in_time.status == "queued"


def test_a_job_that_is_held_ends_as_paused(make_job: MakeJob) -> None:
    FeatureControl.objects.create(feature="summarize", killed=True)
    job = make_job()
    age(job, deadline_at=timedelta(seconds=1))
    dispatcher.turn()
    job.refresh_from_db()
    assert (job.status, job.error_code) == ("failed", "feature_paused")


def test_an_abandoned_run_past_its_deadline_ends_without_a_worker(make_job: MakeJob) -> None:
    job = make_job()
    attempt = begin(claim(job))
    age(job, deadline_at=timedelta(seconds=1))
    dispatcher.turn()
    job.refresh_from_db()
    assert job.status == "running", "its worker still has the lease"
    age(job, lease_until=timedelta(seconds=1))
    dispatcher.turn()
    job.refresh_from_db()
    assert (job.status, job.error_code, job.epoch) == ("failed", "deadline_exceeded", 2)
    assert Attempt.objects.get(pk=attempt).state == "unknown"


def test_an_abandoned_run_that_was_cancelled_ends_without_a_worker(make_job: MakeJob) -> None:
    job = make_job()
    taken = claim(job)
    transitions.cancel(job.pk, user_id=job.user_id, message="You cancelled this request.")
    age(job, lease_until=timedelta(seconds=1))
    dispatcher.turn()
    job.refresh_from_db()
    assert (job.status, job.error_code) == ("cancelled", "cancelled")
    assert (job.cancelled_by, job.error_message) == ("user", "You cancelled this request.")
    with pytest.raises(FencedError):
        transitions.finish(taken, Status.FAILED, error_code="poison", error_message="Late.")


def test_an_abandoned_run_in_time_is_run_again_and_not_ended(make_job: MakeJob) -> None:
    job = make_job()
    claim(job)
    age(job, lease_until=timedelta(seconds=1))
    dispatcher.turn()
    job.refresh_from_db()
    assert (job.status, sent()) == ("running", [job.pk])


def test_the_concurrency_limit_of_a_user_holds(ada: User, bob: User) -> None:
    many(20, ada)
    many(1, bob)
    chosen = choose(summarize=3)
    assert Counter(owners(chosen)) == {"ada": 3, "bob": 1}
    assert choose(summarize=3) == []
    claim(Job.objects.get(pk=chosen[0]))  # still out, and now running
    assert choose(summarize=3) == []
    ended = Job.objects.filter(pk__in=chosen, user=ada, status="queued").first()
    assert ended is not None
    transitions.finish(claim(ended), Status.FAILED)
    assert owners(choose(summarize=3)) == ["ada"]


def test_a_user_may_have_another_limit(ada: User, bob: User) -> None:
    many(20, ada)
    many(20, bob)
    chosen = choose(**{"summarize": 2, f"summarize:{bob.pk}": 5})
    assert Counter(owners(chosen)) == {"ada": 2, "bob": 5}


def test_jobs_beyond_the_limit_wait_for_their_turn(ada: User, opened: None) -> None:
    effective.change("summarize", {"user_in_flight": 2}, reason="test", check_name="test")
    for _ in range(4):
        lifecycle.submit(user=ada, slug="summarize", data={"document": "Text."})
    assert Job.objects.filter(published_at__isnull=False).count() == 2
    assert len(sent()) == 2
    assert publisher.refill() == 0


def test_users_behind_a_partial_release_are_skipped(ada: User, bob: User) -> None:
    users = sorted((ada, bob), key=lambda user: place("summarize", user.pk))
    percent = place("summarize", users[0].pk) + 1
    FeatureControl.objects.create(feature="summarize", release_percent=percent)
    many(2, ada)
    many(2, bob)
    let_in = {user.username: 2 for user in users if place("summarize", user.pk) < percent}
    assert Counter(owners(choose())) == let_in
