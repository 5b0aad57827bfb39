"""Ramps, health and the blast radius on real stores."""
