"""Scores an output against what a case expects."""

from evals.scoring.bounded import score
from evals.scoring.scorers import Part, ScorerError

__all__ = ["Part", "ScorerError", "score"]
