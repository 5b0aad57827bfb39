"""The weekly runs: each live prompt is evaluated against the evidence with which it became live.

`rows` plans and ends them, `ticks` has what the schedule runs, `steps` takes one further,
`baseline` finds what it is compared with, and `actions` does what follows a regression. `rows` and
`ticks` work without the extra `evals`.
"""
