"""Scores an output against what a case expects, and makes plain answers."""

from evals.scoring.bounded import plain, score
from evals.scoring.scorers import Part, ScorerError

__all__ = ["Part", "ScorerError", "plain", "score"]
