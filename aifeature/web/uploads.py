"""A text file that somebody sends instead of pasting its text."""

from __future__ import annotations

from typing import Any

from django.core.files.uploadedfile import UploadedFile


class UnreadableFileError(ValueError):
    """The file cannot be used; the message says why and what helps."""


def text_of(file: UploadedFile[Any], *, max_bytes: int) -> str:
    """The file's text: UTF-8, with or without a byte order mark.

    Raises:
        UnreadableFileError: it is empty, larger than `max_bytes`, or no text.
    """
    size = file.size or 0
    if size > max_bytes:
        raise UnreadableFileError(
            f"This file has {size:,} bytes; the most we can read is {max_bytes:,}."
        )
    try:
        text = bytes(file.read()).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UnreadableFileError(
            "This file is not plain text in UTF-8. Save it as a text file and choose it again."
        ) from None
    if "\0" in text:
        raise UnreadableFileError("This file is not plain text. Choose a text file.")
    if not text.strip():
        raise UnreadableFileError("This file is empty. Choose another.")
    return text
