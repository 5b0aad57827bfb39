"""Sessions and API tokens of a user, and the limits on failed sign-ins.

Public: `limits`, `sign_ins`.

Size limit: 300 lines.
"""

from aifeature.services.sign_in import limits, sign_ins

__all__ = ["limits", "sign_ins"]
