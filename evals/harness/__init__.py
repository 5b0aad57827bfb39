"""Runs suites: plans the samples of a run, drives their jobs, and decides.

A run is rows in the database. Its jobs are jobs of the system, so a killed worker loses nothing;
the process that drives the run may be killed too, and another one resumes it.
"""
