"""Tests of the tour of the local stack."""
