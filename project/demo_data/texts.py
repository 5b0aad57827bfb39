"""Made-up inputs and results. They come from no user and no model."""

from __future__ import annotations

from functools import cache
from typing import Any, Final, NamedTuple

from aifeature import registry
from aifeature.features.answer.feature import Question
from project.demo_data.story import ANSWER, SUMMARIZE, TRIAGE


class _Document(NamedTuple):
    text: str
    summary: str
    facts: tuple[str, ...]


Pair = tuple[dict[str, Any], dict[str, Any]]
"""An input and its result."""

_QUESTIONS: Final = (
    "How long can I ask for a refund?",
    "How do I install QuizCraft with pip?",
    "Which server do I need to run QuizCraft myself?",
    "How do I invite teachers to my workspace?",
    "Can a learner get a second attempt after the time limit?",
    "How do I correct the name on a certificate?",
    "Where can I download an invoice with VAT?",
    "How do I import questions from a spreadsheet?",
    "What happens to a quiz when a learner loses the connection?",
    "How do I set up single sign-on for my school?",
    "How many requests may my API token send in a minute?",
    "How do I verify the signature of a webhook?",
    "How do I turn on two-factor sign-in?",
    "Can I give a learner extra time?",
    "How do I cancel my subscription?",
    "How do I export the grade book?",
    "How do I back up my server and restore it?",
    "How do I copy a course into another language?",
    "Can I regrade an exam after an appeal?",
    "Do you sell gift cards for courses?",
    "Is there an app for smart watches?",
)

_TICKETS: Final = (
    ("quiz_problem", "high", "The timer of our chemistry quiz stopped for the whole class."),
    ("billing", "normal", "We were charged for 40 seats, but we have 32 teachers."),
    ("certificate", "normal", "My certificate has last year's course title on it."),
    ("access", "high", "I cannot sign in since this morning, and my lesson begins at noon."),
    ("course_content", "low", "Please add a dark theme to the course pages."),
    ("technical", "normal", "Videos of module 3 stop after a few seconds in our network."),
    ("integration", "normal", "Our LTI link opens the wrong course since the last upgrade."),
    ("account", "normal", "How do I move my courses to my new work address?"),
    ("refund", "normal", "I bought the Teacher plan twice by mistake. Please refund one."),
    ("quiz_problem", "normal", "Shuffled answers are shown in the same order to everybody."),
    ("other", "low", "Thank you for the new grade book, it saves us a lot of time."),
    ("technical", "high", "Exporting the grade book ends with an empty file."),
)
"""Category, urgency and text."""

_REASONS: Final = {
    "quiz_problem": "The ticket reports a quiz that does not work as it should.",
    "billing": "The ticket is about the amount of a charge.",
    "certificate": "The ticket is about the text of a certificate.",
    "access": "The ticket reports that its author cannot sign in.",
    "course_content": "The ticket is a wish about course pages.",
    "technical": "The ticket reports a fault of a function.",
    "integration": "The ticket is about a link to another system.",
    "account": "The ticket asks how to change an account.",
    "refund": "The ticket asks for money back for a double purchase.",
    "other": "The ticket says thank you and asks for nothing.",
}

_HIGH_STAKES: Final = (
    "Delete my account and all of my data, please, and confirm it to me.",
    "You took 1,900 dollars for a plan that we cancelled. Refund it, or our lawyer writes to you.",
    "A file with the results of another school opens when I follow the link in your mail.",
)

_DOCUMENTS: Final = (
    _Document(
        text="The school asked why 41 certificates show the old name. Support found"
        " that the upgrade had reset the setting, and issued all 41 again on 5"
        " March, free of charge.",
        summary="An upgrade reset the school's name on 41 certificates. Support"
        " issued them again on 5 March, free of charge.",
        facts=("41 certificates", "issued again on 5 March", "free of charge"),
    ),
    _Document(
        text="Minutes of the teachers' meeting. The final quiz moves from Tuesday to"
        " Thursday, because the computer room is closed. Learners with extra time"
        " keep 30 minutes more. Two questions about acids are replaced.",
        summary="The final quiz moves to Thursday, because the computer room is"
        " closed. Two questions are replaced, and extra time stays at 30"
        " minutes.",
        facts=("final quiz on Thursday", "30 minutes of extra time", "two questions replaced"),
    ),
    _Document(
        text="Incident report. Videos did not play for 52 minutes on Monday, since a"
        " certificate of the video server had expired. It renews itself from now"
        " on, and a check warns a week before.",
        summary="Videos did not play for 52 minutes on Monday, because a certificate"
        " had expired. Renewal is automatic now, with a warning a week before.",
        facts=("52 minutes", "expired certificate", "automatic renewal"),
    ),
    _Document(
        text="The school compares two plans. Ninety seats of the School plan cost"
        " less than sixty of the Teacher plan from the second year on. The"
        " decision is on 12 June, and the present plan ends on 30 June.",
        summary="From the second year on, ninety School seats cost less than sixty"
        " Teacher seats. The decision is on 12 June, before the present plan"
        " ends on 30 June.",
        facts=("decision on 12 June", "plan ends on 30 June"),
    ),
    _Document(
        text="Feedback of a course about statistics. Learners like the short videos"
        " and the hints. They miss worked examples in module 4, and a third of"
        " them left the last quiz unfinished.",
        summary="Learners like the videos and hints of the statistics course. They"
        " miss worked examples in module 4, and a third did not finish the"
        " last quiz.",
        facts=("worked examples missing in module 4", "a third left the last quiz"),
    ),
)

COMMENTS: Final = {
    -1: (
        "It answers another question than mine.",
        "The second half is missing.",
        "It names a menu that I cannot find.",
        "I asked about the School plan, and this is about Teacher.",
    ),
    1: ("Just what I needed.", "Quick and clear.", "Saved me a call to support."),
}
"""Comments by rating."""


@cache
def pairs(feature: str) -> tuple[Pair, ...]:
    """Return inputs of a feature with results that fit its schemas."""
    return tuple({ANSWER: _answers, TRIAGE: _triaged, SUMMARIZE: _summaries}[feature]())


def _answers() -> list[Pair]:
    """Return questions with sentences of the handbook, which the feature itself looks up."""
    found = []
    plain = registry.get(ANSWER).plain
    assert plain is not None  # noqa: S101 (the feature has one)
    for number, question in enumerate(_QUESTIONS):
        answer = plain(Question(question=question)).model_dump(mode="json")
        if not answer["not_in_handbook"]:
            answer["confidence"] = "medium" if number % 4 == 0 else "high"
        found.append(({"question": question}, answer))
    return found


def _triaged() -> list[Pair]:
    return [
        (
            {"ticket": text},
            {
                "category": category,
                "urgency": urgency,
                "language": "en",
                "needs_human": False,
                "reason": _REASONS[category],
            },
        )
        for category, urgency, text in _TICKETS
    ]


def high_stakes(number: int) -> Pair:
    """Return a ticket about which a person decides."""
    category, reason = (
        ("privacy", "The ticket asks for the deletion of an account and of personal data."),
        ("refund", "The ticket asks for a large refund and announces a lawyer."),
        ("security", "The ticket reports data of others behind a link."),
    )[number % 3]
    result = {
        "category": category,
        "urgency": "high",
        "language": "en",
        "needs_human": True,
        "reason": reason,
    }
    return {"ticket": _HIGH_STAKES[number % 3]}, result


def _summaries() -> list[Pair]:
    return [
        ({"document": each.text}, {"summary": each.summary, "key_facts": list(each.facts)})
        for each in _DOCUMENTS
    ]
