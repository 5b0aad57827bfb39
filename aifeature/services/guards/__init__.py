"""Guards: what users and models write is cleaned, flagged, tightened or refused.

Pure functions, except `audit`, which writes the rows of the audit log. A feature's `Guards` decide
what follows from a finding. docs/design/guards.md has the rules and their figures.

Public: `inputs` (before a job is stored), `outputs` (the answers of one run), `moderation` (what a
verdict means), `audit`; for measures `hidden` and `injection`.

Size limit: 4,300 lines.

The scan of inputs has a good third of them, in a package of its own.
"""

from aifeature.services.guards import audit, hidden, injection, inputs, moderation, outputs

__all__ = ["audit", "hidden", "injection", "inputs", "moderation", "outputs"]
