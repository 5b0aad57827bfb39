"""Ratings, actions of readers, reported outcomes, NPS, and what they show about a feature.

Ratings and NPS are explicit: opinions of users. Signals are implicit: actions of users. Outcomes
are reported by the web app. Figures show the three apart and never sum them.

Public: `votes`, `signals`, `outcomes` and `nps` store them; `reasons` names the reasons of a
rating; `figures` and `holdout` are what operators read; `refusals` has the errors.

Size limit: 1,100 lines.
"""

from aifeature.services.feedback import (
    figures,
    holdout,
    nps,
    outcomes,
    reasons,
    refusals,
    signals,
    votes,
)

__all__ = ["figures", "holdout", "nps", "outcomes", "reasons", "refusals", "signals", "votes"]
