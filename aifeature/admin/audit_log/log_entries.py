"""Admin's own log: its messages quote reasons, so personal data in them is replaced."""

from __future__ import annotations

from typing import Any

from django.contrib.admin.models import LogEntry
from django.db.models.signals import pre_save
from django.dispatch import receiver

from aifeature.models.free_text import free_text


@receiver(pre_save, sender=LogEntry, dispatch_uid="aifeature.log_entries")
def replace_personal_data(instance: LogEntry, **_: Any) -> None:
    """Replace personal data in the message of an entry before it is stored.

    The name of its object has been stored before, in a column of its own.
    """
    instance.change_message = free_text(str(instance.change_message))
