"""`manage.py releaseprompt SLUG [VERSION]`: record that versions of a prompt are released."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from aifeature import features, prompts, registry
from aifeature.prompts import PromptError


class Command(BaseCommand):
    """Adds lines to the feature's `released.txt`. It never changes a line."""

    help = "Record the hash of a feature's prompt versions, whose files then never change."
    requires_system_checks = ()  # a released prompt that has changed has a sentence of its own

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("slug", help="The feature.")
        parser.add_argument(
            "version", nargs="?", help="For example v2. Default: each version without a line."
        )

    def handle(self, *, slug: str, version: str | None, **_: Any) -> None:
        """Record the versions.

        Raises:
            CommandError: there is no such version, a released one has changed, or the file cannot
                be written.
        """
        try:
            registry.all_features()
        except Exception as error:  # noqa: BLE001 (the code of a feature may raise anything)
            raise CommandError(
                f"The features cannot be loaded ({type(error).__name__}): `manage.py check` names"
                " the place."
            ) from None
        try:
            recorded = dict(prompts.released(slug))
            chosen = [version] if version else list(prompts.versions(slug))
            found = {each: prompts.get(slug, each).own_hash for each in chosen}
        except registry.UnknownFeatureError:
            known = ", ".join(registry.all_features())
            raise CommandError(f"No feature has the slug {slug!r}. There are: {known}.") from None
        except PromptError as error:
            raise CommandError(f"{error}.") from None
        where = f"{features.__name__.replace('.', '/')}/{slug}"
        for each, own_hash in found.items():
            if recorded.get(each, own_hash) != own_hash:
                raise CommandError(
                    f"{where}/{each}.md was released and has changed since, and a recorded hash"
                    " never changes. Restore the file, and add the change as a new version."
                )
        if added := {each: own for each, own in found.items() if each not in recorded}:
            _write(Path(features.__path__[0]) / slug / "released.txt", recorded | added)
        for each in found:
            how = "is released" if each in added else "was released already"
            self.stdout.write(f"{where}/{each}.md {how}.")
        if not found:
            self.stdout.write(f"{where} has no prompt.")


def _write(file: Path, hashes: dict[str, str]) -> None:
    """Write a line for each version, oldest first."""
    lines = sorted(hashes.items(), key=lambda item: int(item[0].removeprefix("v")))
    draft = file.with_suffix(".draft")
    try:
        draft.write_text("".join(f"{version} {each}\n" for version, each in lines), "utf-8")
        draft.replace(file)
    except OSError as error:
        raise CommandError(
            f"{file} cannot be written: {error.strerror}. Nothing was recorded."
        ) from None
