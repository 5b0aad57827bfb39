"""Opinions of users: the list of ratings, and a page of figures for each feature."""
