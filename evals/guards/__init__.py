"""Measures of the guards: how much they find, and how often they are wrong."""
