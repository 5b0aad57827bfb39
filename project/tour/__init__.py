"""The tour of the local stack: steps that are ticked when the database shows that they are done.

It exists only with the sandbox provider, like `project.panel`. `docs/design/tour.md` describes how
to add a step.
"""
