"""The short way to evaluate: `python evals/run_eval.py [--feature FEATURE] [FILE]`.

FILE is a list of `{"input": "a text", "expected_keyword": "a word"}`. The prompt that is live for
users answers each input, or the active one without it. The last line is the share of answers that
hold their keyword.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
HINT: Final = "To run it on a system of its own: python -m evals.local python evals/run_eval.py"


def main(arguments: list[str]) -> int:
    """Run the file and return the exit code of `python -m evals run`."""
    parser = argparse.ArgumentParser(prog="run_eval.py", description=__doc__)
    parser.add_argument("file", nargs="?", type=Path, default=ROOT / "evals" / "test_set.json")
    parser.add_argument("--feature", default="summarize")
    options = parser.parse_args(arguments)
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")
    import django  # noqa: PLC0415 (after the arguments: it needs seconds)

    try:
        django.setup()
    except SystemExit as error:
        lines = "; ".join(str(error).splitlines())
        print(f"No system is set up here: {lines}. {HINT}", file=sys.stderr)
        return 2
    return _run(options.feature, options.file)


def _run(slug: str, file: Path) -> int:
    from aifeature import registry  # noqa: PLC0415
    from evals import cli  # noqa: PLC0415
    from evals.commands import named  # noqa: PLC0415

    command = ["run", slug, "--suite", str(file), "--repeats", "1"]
    if slug in registry.all_features():
        command += ["--prompt", named.baseline(registry.get(slug))]
    return cli.main(command)


if __name__ == "__main__":
    sys.path[0] = str(ROOT)  # instead of this folder, whose packages have names of Python's own
    sys.exit(main(sys.argv[1:]))
