"""The commands of `python -m evals`: each takes its options and returns an exit code.

`running` has `run`, `aa` and `gate`; `weekly` evaluates live prompts; `looking` compares, reports,
rescores and lists stored runs; `evidence` records, checks and exports; `adding` adds a case.
They share `named`, which finds what the arguments name, `starting`, which chooses, prices and
starts runs, `driving`, which drives them to verdicts, and the exit codes in `codes`.
"""
