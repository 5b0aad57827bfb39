"""Scores an output against what a case expects."""

from evals.scoring.scorers import Part, score

__all__ = ["Part", "score"]
