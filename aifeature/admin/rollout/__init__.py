"""Ramps, canaries, shadows, and the reach of a change."""
