"""`manage.py startfeature NAME`: write a working feature, its prompt and its suite."""

from __future__ import annotations

import keyword
import re
import shutil
import tempfile
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from django.core.management.base import BaseCommand, CommandError, CommandParser

from aifeature import features, suites

TEMPLATE: Final = Path(__file__).resolve().parent.parent / "startfeature"
"""A working feature with the slug `new_feature`. `make check` checks its code like all other."""

DAY: Final = "date(2026, 11, 1)"
"""The day of the template's floors."""

SLUG: Final = re.compile(r"[a-z][a-z0-9_]{0,39}")

NEXT: Final = """\
The feature {slug} is in {code}/ and {suite}/.

  1. Run it. A running stack picks it up by itself within seconds:
       make stack
  2. Open it in the browser, at the address that the stack prints: /f/{slug}/
     Sign in as staff. Users get it when its prompt has evidence.
  3. Call it, with the line `export URL=...` that the stack prints:
       TOKEN=$(.venv/bin/python manage.py create_token staff --name try --feature {slug})
       curl -H "Authorization: Bearer $TOKEN" -H "Content-Type: application/json" \\
            -d '{{"input": {{"text": "How can I download my invoices?"}}}}' \\
            $URL/api/v1/features/{slug}/jobs
       curl -H "Authorization: Bearer $TOKEN" "$URL/api/v1/jobs/<id>?wait=20"
  4. Change it: each `# Decide:` in feature.py, the prompt v1.md, the cases of the suite.
  5. Check it, while the stack runs:
       .venv/bin/python manage.py check
"""


class Command(BaseCommand):
    """Writes both folders or none, and changes no other file."""

    help = "Write a new feature that works: its code, prompt, examples and suite."
    requires_system_checks = ()  # works while another feature is broken

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", help="Its slug: small letters, digits and underscores.")

    def handle(self, *, name: str, **_: Any) -> None:
        """Write the feature.

        Raises:
            CommandError: the name cannot be used, or a folder cannot be written.
        """
        code, suite = Path(features.__path__[0]) / name, suites.file(name).parent
        if problem := _problem_of(name, code, suite):
            raise CommandError(problem)
        try:
            _write(name, code, suite)
        except OSError as error:
            raise CommandError(
                f"{error.filename or code} cannot be written: {error.strerror}. Nothing was made."
                " Allow this user to write there, then run the command again."
            ) from None
        self.stdout.write(NEXT.format(slug=name, code=_shown(code), suite=_shown(suite)))


def _problem_of(name: str, *folders: Path) -> str | None:
    """Return a sentence if a new feature cannot have this name."""
    if not SLUG.fullmatch(name):
        close = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_0123456789")[:40]
        return (
            f"{name!r} is no slug: use up to 40 small letters, digits and underscores, the first a"
            f" letter, for example {close or 'refund_mail'!r}."
        )
    if keyword.iskeyword(name):
        return f"{name!r} is a keyword of Python: use another name, for example {name + '_text'!r}."
    for folder in (*folders, folders[0].with_suffix(".py")):
        if folder.exists() or folder.is_symlink():
            return f"{_shown(folder)} exists: use another name, or move it away first."
    return None


def _write(slug: str, code: Path, suite: Path) -> None:
    """Write both folders under hidden names, then rename them. An error leaves neither."""
    with ExitStack() as undo:
        suite.parent.mkdir(parents=True, exist_ok=True)
        drafts = []
        for folder in (code, suite):
            draft = Path(tempfile.mkdtemp(prefix=".startfeature-", dir=folder.parent))
            undo.callback(shutil.rmtree, draft, ignore_errors=True)
            draft.chmod(folder.parent.stat().st_mode & 0o777)
            drafts.append(draft)
        for source in sorted(TEMPLATE.iterdir()):
            if source.is_file():
                target = drafts[source.name in {suites.FILE, suites.ABOUT}] / source.name
                target.write_text(_named(source.read_text(encoding="utf-8"), slug), "utf-8")
        # The code last: a running stack then finds the whole feature.
        drafts[1].rename(suite)
        undo.callback(shutil.rmtree, suite, ignore_errors=True)
        drafts[0].rename(code)
        undo.pop_all()


def _named(text: str, slug: str) -> str:
    """Return a text of the template with the name of the feature, and with floors of today."""
    title, today = slug.replace("_", " ").capitalize(), datetime.now(UTC)
    text = text.replace(DAY, f"date({today.year}, {today.month}, {today.day})")
    return text.replace("new_feature", slug).replace("New feature", title)


def _shown(path: Path) -> str:
    """Return the path from the folder of the repository, which contains `evals`."""
    root = suites.FOLDER.parent.parent
    return str(path.relative_to(root) if path.is_relative_to(root) else path)
