"""What users read: the code and sentence of a job that waits or ended, and references to quote.

Public: all names below.

Size limit: 250 lines.
"""

from aifeature.services.texts import references
from aifeature.services.texts.codes import DEFERRED, FAILED_AFTER_WAITING, SPENT
from aifeature.services.texts.messages import MESSAGES, sentence, sentence_at_end

__all__ = [
    "DEFERRED",
    "FAILED_AFTER_WAITING",
    "MESSAGES",
    "SPENT",
    "references",
    "sentence",
    "sentence_at_end",
]
