"""Alerts and actions about numbers that turned red, and what explains them.

Public: the modules below.

Size limit: 1,300 lines.
"""

from aifeature.services.alarms import changes, check, counted, releases, rules, words

__all__ = ["changes", "check", "counted", "releases", "rules", "words"]
