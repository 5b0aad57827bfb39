"""Free words of people outside the content of jobs: reasons, notes, names of tokens.

Personal data in them is replaced before they are stored. The fields have the columns of Django's
own fields, so that a migration has nothing to change.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

from django.db import models

from aifeature.models.storable import storable
from aifeature.personal_data import redact

if TYPE_CHECKING:
    from collections.abc import Sequence

    _Text = models.TextField[str, str]
    _Line = models.CharField[str, str]
else:
    _Text, _Line = models.TextField, models.CharField


logger = logging.getLogger(__name__)

UNCHECKED: Final = "[not stored: the check for personal data failed]"
"""The text in place of words that could not be checked."""


def free_text(words: str, longest: int | None = None) -> str:
    """Return the words as they may be stored: storable, and without personal data.

    A placeholder may be longer than what it replaces, so changed words are cut to `longest`.
    """
    return _safe(storable(words), longest)


def without_personal_data(words: str) -> str:
    """Return the words without personal data. Never raises: a kill switch must work regardless."""
    try:
        return redact(words)
    except Exception:
        logger.exception("words of a person could not be checked for personal data")
        return UNCHECKED


def _safe(words: str, longest: int | None) -> str:
    found = without_personal_data(words)
    return found if found == words else found[:longest]


class _WithoutPersonalData:
    """Replaces personal data in each value that is stored, also by `update` and `bulk_create`."""

    max_length: int | None
    attname: str

    def get_prep_value(self, value: Any) -> Any:
        found = super().get_prep_value(value)  # type: ignore[misc]  # a field's
        return _safe(found, self.max_length) if isinstance(found, str) else found

    def pre_save(self, model_instance: models.Model, add: bool) -> Any:  # noqa: FBT001 (Django's)
        """Give the row the stored words, since texts about it are made from it afterwards."""
        found = super().pre_save(model_instance, add)  # type: ignore[misc]  # a field's
        if isinstance(found, str):
            found = _safe(found, self.max_length)
            setattr(model_instance, self.attname, found)
        return found

    def _deconstructed(self, plain: type[models.Field[Any, Any]]) -> Any:
        name, _, args, kwargs = super().deconstruct()  # type: ignore[misc]  # a field's
        return name, f"django.db.models.{plain.__name__}", args, kwargs


class FreeText(_WithoutPersonalData, _Text):
    """A `TextField` with free words of a person."""

    def deconstruct(self) -> tuple[str, str, Sequence[Any], dict[str, Any]]:
        """Describe the plain field, for migrations."""
        found: tuple[str, str, Sequence[Any], dict[str, Any]]
        found = self._deconstructed(models.TextField)
        return found


class FreeLine(_WithoutPersonalData, _Line):
    """A `CharField` with free words of a person."""

    def deconstruct(self) -> tuple[str, str, Sequence[Any], dict[str, Any]]:
        """Describe the plain field, for migrations."""
        found: tuple[str, str, Sequence[Any], dict[str, Any]]
        found = self._deconstructed(models.CharField)
        return found
