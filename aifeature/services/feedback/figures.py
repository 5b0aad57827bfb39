"""Figures about a feature: explicit, implicit and outcomes, apart and never summed.

All figures are about the requests that users sent within a range of days. Each query reads that
range of jobs by an index. The content of jobs is not needed, so figures stay after it was deleted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from django.db import connection

from aifeature.models import Origin
from aifeature.policies.intervals import Nps, Share
from aifeature.services.feedback import reasons

RANGES: Final = (7, 30, 90)
"""Days that figures are offered for."""

COMES_BACK_DAYS: Final = 7
MOST_OUTCOMES: Final = 20
"""Names of outcomes shown, the most frequent ones."""

OF_USERS: Final = f"j.origin = '{Origin.USER}'"

_IN_RANGE: Final = """
    j.feature = %(feature)s
    AND j.created_at >= statement_timestamp() - make_interval(days => %(days)s)"""

_DID: Final = f"""
WITH mine AS (
    SELECT j.id, j.status, j.finished_at,
           j.status = 'cancelled' AND j.cancelled_by = 'user' AS gave_up,
           j.request_digest <> '' AND lead(j.created_at) OVER (
               PARTITION BY j.user_id, j.request_digest ORDER BY j.created_at)
               <= j.created_at + interval '1 hour' AS again
      FROM aifeature_job j
     WHERE {OF_USERS} AND {_IN_RANGE}),
did AS (
    SELECT s.job_id, bool_or(s.name = 'copied') AS copied, bool_or(s.name = 'edited') AS edited,
           bool_or(s.name = 'regenerated') AS regenerated, bool_or(s.name = 'abandoned') AS went
      FROM aifeature_jobsignal s
     WHERE s.kind = 'implicit' AND s.feature = %(feature)s
       AND s.at >= statement_timestamp() - make_interval(days => %(days)s)
     GROUP BY s.job_id),
seen AS (
    SELECT mine.*, did.copied, did.edited, did.regenerated OR mine.again AS regenerated,
           mine.status = 'succeeded' AS is_answer,
           mine.gave_up OR did.went AND NOT did.copied AND f.id IS NULL AS abandoned
      FROM mine
      LEFT JOIN did ON did.job_id = mine.id
      LEFT JOIN aifeature_feedback f ON f.job_id = mine.id)
SELECT count(*) FILTER (WHERE finished_at IS NOT NULL),
       count(*) FILTER (WHERE is_answer),
       count(*) FILTER (WHERE is_answer AND abandoned IS NOT TRUE),
       count(*) FILTER (WHERE finished_at IS NOT NULL AND abandoned),
       count(*) FILTER (WHERE is_answer AND copied),
       count(*) FILTER (WHERE is_answer AND edited),
       count(*) FILTER (WHERE is_answer AND regenerated)
  FROM seen"""  # noqa: S608 (constants)

_VOTES: Final = f"""
SELECT j.status = 'succeeded', f.prompt_version, count(*) FILTER (WHERE f.rating = 1),
       count(*) FILTER (WHERE f.rating = -1)
  FROM aifeature_job j
  JOIN aifeature_feedback f ON f.job_id = j.id
 WHERE {OF_USERS} AND {_IN_RANGE}
 GROUP BY 1, 2
 ORDER BY 2"""  # noqa: S608 (constants)

_REASONS: Final = f"""
SELECT r.slug, count(*)
  FROM aifeature_job j
  JOIN aifeature_feedback f ON f.job_id = j.id
 CROSS JOIN LATERAL jsonb_array_elements_text(f.reasons) AS r (slug)
 WHERE {OF_USERS} AND {_IN_RANGE}
 GROUP BY 1
 ORDER BY 2 DESC, 1"""  # noqa: S608 (constants)

_CAME_BACK: Final = f"""
WITH firsts AS (
    SELECT j.user_id, min(j.created_at) AS at
      FROM aifeature_job j
     WHERE {OF_USERS} AND {_IN_RANGE}
     GROUP BY j.user_id)
SELECT count(*), count(*) FILTER (WHERE EXISTS (
           SELECT 1 FROM aifeature_job j
            WHERE {OF_USERS} AND j.feature = %(feature)s AND j.user_id = firsts.user_id
              AND j.created_at <= firsts.at + make_interval(days => %(comes_back)s)
              AND (j.created_at AT TIME ZONE 'UTC')::date > (firsts.at AT TIME ZONE 'UTC')::date))
  FROM firsts
 WHERE firsts.at <= statement_timestamp() - make_interval(days => %(comes_back)s)
   AND NOT EXISTS (
           SELECT 1 FROM aifeature_job j
            WHERE {OF_USERS} AND j.feature = %(feature)s AND j.user_id = firsts.user_id
              AND j.created_at < firsts.at)"""  # noqa: S608 (constants)

_NPS: Final = """
SELECT n.score, count(*)
  FROM aifeature_npsanswer n
 WHERE n.feature = %(feature)s
   AND n.at >= statement_timestamp() - make_interval(days => %(days)s)
 GROUP BY 1"""

_OUTCOMES: Final = f"""
WITH users AS (
    SELECT DISTINCT j.user_id
      FROM aifeature_job j
     WHERE {OF_USERS} AND {_IN_RANGE})
SELECT s.name, count(*), count(DISTINCT s.user_id), (SELECT count(*) FROM users)
  FROM aifeature_jobsignal s
  JOIN users ON users.user_id = s.user_id
 WHERE s.kind = 'outcome' AND s.feature = %(feature)s
   AND s.at >= statement_timestamp() - make_interval(days => %(days)s)
 GROUP BY 1
 ORDER BY 2 DESC, 1
 LIMIT {MOST_OUTCOMES}"""  # noqa: S608 (constants)


@dataclass(frozen=True, slots=True)
class Explicit:
    """Opinions of users."""

    down: Share
    """Thumbs down of all votes on answers."""
    voted: Share
    """Votes of all answers."""
    complaints: int
    """Thumbs down on requests that failed. They are in no share."""
    by_version: dict[str, Share]
    """Thumbs down of the votes, by prompt version."""
    reasons: dict[str, int]
    nps: Nps
    scores: dict[int, int]
    """Answers to the NPS question by score."""
    not_now: int
    """Users who did not want to answer it."""


@dataclass(frozen=True, slots=True)
class Implicit:
    """Actions of users."""

    completed: Share
    """Requests that ended with an answer that its user did not abandon, of all that ended."""
    abandoned: Share
    """Requests that their user cancelled, or left before the end without coming back."""
    copied: Share
    edited: Share
    regenerated: Share
    came_back: Share
    """Users with their first request in the range who came back within seven days on another day,
    of those whose seven days are over."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """An outcome among the users who sent requests in the range."""

    name: str
    count: int
    users: Share

    @property
    def per_user(self) -> float:
        return self.count / self.users.total


@dataclass(frozen=True, slots=True)
class Figures:
    """All figures of a feature. The three parts are shown apart."""

    explicit: Explicit
    implicit: Implicit
    outcomes: tuple[Outcome, ...]


def of(feature: str, *, days: int) -> Figures:
    """Return the figures of a feature's requests of the last `days` days."""
    values = {"feature": feature, "days": days, "comes_back": COMES_BACK_DAYS}
    ((ended, answers, completed, abandoned, copied, edited, regenerated),) = _rows(_DID, values)
    ((first, back),) = _rows(_CAME_BACK, values)
    return Figures(
        explicit=_explicit(answers, values),
        implicit=Implicit(
            completed=Share(completed, ended),
            abandoned=Share(abandoned, ended),
            copied=Share(copied, answers),
            edited=Share(edited, answers),
            regenerated=Share(regenerated, answers),
            came_back=Share(back, first),
        ),
        outcomes=tuple(
            Outcome(name, count, Share(having, users))
            for name, count, having, users in _rows(_OUTCOMES, values)
        ),
    )


def _explicit(answers: int, values: dict[str, Any]) -> Explicit:
    votes = _rows(_VOTES, values)
    on_answers = {version: (up, down) for is_answer, version, up, down in votes if is_answer}
    ups, downs = (sum(pair[end] for pair in on_answers.values()) for end in (0, 1))
    asked = dict(_rows(_NPS, values))
    not_now = asked.pop(None, 0)
    counted = dict(_rows(_REASONS, values))
    return Explicit(
        down=Share(downs, ups + downs),
        voted=Share(ups + downs, answers),
        complaints=sum(down for is_answer, _, _, down in votes if not is_answer),
        by_version={name: Share(down, up + down) for name, (up, down) in on_answers.items()},
        reasons={slug: counted[slug] for slug in reasons.ALL if slug in counted},
        nps=Nps.of(asked),
        scores=asked,
        not_now=not_now,
    )


def _rows(query: str, values: dict[str, Any]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(query, values)
        found: list[tuple[Any, ...]] = cursor.fetchall()
    return found
