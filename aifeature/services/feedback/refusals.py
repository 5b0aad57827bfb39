"""Refusals of feedback, each with its HTTP status, stable code and message for the user."""

from __future__ import annotations

from aifeature.services.jobs.refusals import Refusal


class NotEnded(Refusal):
    status, code, title = 409, "job_not_ended", "Not ended yet"


class NotRateable(Refusal):
    status, code, title = 409, "not_rateable", "Nothing to rate"


class NoFeedback(Refusal):
    status, code, title = 404, "no_feedback", "Not rated"
