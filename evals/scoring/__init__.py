"""Scores an output against what a case expects."""

from evals.scoring.scorers import Part, ScorerError, score

__all__ = ["Part", "ScorerError", "score"]
