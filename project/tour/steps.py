"""The steps of the tour, in order. A new one is added here."""

from __future__ import annotations

from typing import Final

from project.tour import done, links
from project.tour.step import Step

STEPS: Final = (
    Step(
        "submit",
        "Send a request",
        "The form is filled in with an example. Press Send and watch the answer arrive.",
        "The page shows each state of the request. The row was stored before the page opened, so a"
        " crash from then on loses nothing.",
        links.send,
        for_staff=False,
        is_done=done.sent,
    ),
    Step(
        "break",
        "Break the provider",
        "In the panel, press “Break the provider”. Stay there for some seconds.",
        "The calls of the demo users fail with an error 500. The circuit breaker of each model"
        " opens, so that no further request waits for it.",
        links.panel,
        for_staff=True,
        is_done=done.broken,
    ),
    Step(
        "fallback",
        "See the fallback",
        "While the provider is broken, send this request.",
        "After some seconds you get a simple answer, made without a model and labelled as such. It"
        " is free of charge.",
        links.send_for_fallback,
        for_staff=False,
        is_done=done.fell_back,
    ),
    Step(
        "stop",
        "Pull the kill switch",
        "Press Stop, give a reason, and confirm.",
        "Within a second no process accepts a request or sends a call. The page for users shows"
        " that the feature is paused.",
        links.switch,
        for_staff=True,
        is_done=done.stopped,
    ),
    Step(
        "release",
        "Release it",
        "On the same page, press Release. You may begin with a share of the users.",
        "Waiting requests continue by themselves. Only a person with a reason can release a switch:"
        " the database refuses all other ways.",
        links.switch,
        for_staff=True,
        is_done=done.released,
    ),
    Step(
        "rate",
        "Rate an answer",
        "Below an answer, choose a thumb.",
        "The rating counts for its prompt version. Too many thumbs down open an alert, hold a ramp"
        " and can roll a prompt back.",
        links.rate,
        for_staff=False,
        is_done=done.rated,
    ),
    Step(
        "refused",
        "See a prompt refused",
        "Give a reason, and press Activate. The page of its prompts lacks this button.",
        "The gate refuses it and names what its evidence lacks. Nothing changes for users, and the"
        " attempt is in the audit log.",
        links.prompts,
        for_staff=True,
        is_done=done.refused,
    ),
    Step(
        "audit",
        "Read the audit log",
        "Open it, and find your switch, its release and the refused prompt.",
        "Each change has its author, both values and the reason. Nobody can edit a row.",
        links.audit,
        for_staff=True,
    ),
)


def find(slug: str) -> Step | None:
    return next((step for step in STEPS if step.slug == slug), None)
