"""The cost-spike check: hourly spend, baselines, throttles and trips, rehearsal, simulation."""
