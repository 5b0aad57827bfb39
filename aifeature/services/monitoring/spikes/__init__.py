"""The cost-spike check: spend by the hour, the baseline, what is done, a rehearsal of it."""
