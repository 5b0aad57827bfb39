"""The statistics that decide whether a candidate is worse than its baseline.

`data` has the shapes of scored outcomes, and `verdict.decide` returns the verdict of a comparison.
`power` measures how often that verdict errs, and `confusion` counts the mistakes of a classifier.
All functions are pure.
"""
