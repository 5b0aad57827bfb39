"""Evaluations in admin: the runs, and the weekly series of each feature. All of it is read-only."""

from evals.admin import runs, weekly

__all__ = ["runs", "weekly"]
