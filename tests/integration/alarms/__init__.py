"""Tests of the alerts about numbers, on the real stores."""
