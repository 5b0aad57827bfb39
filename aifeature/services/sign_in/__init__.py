"""Sessions and API tokens of a user, and the limits and records of failed sign-ins.

Public: `failures`, `limits`, `sign_ins`.

Size limit: 400 lines.
"""

from aifeature.services.sign_in import failures, limits, sign_ins

__all__ = ["failures", "limits", "sign_ins"]
