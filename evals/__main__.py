"""`python -m evals`: run suites, compare prompts, and read the results.

Exit codes: 0 passed; 1 a regression, or below the floor; 2 the command is wrong or cannot start; 3
not comparable, or unfinished.
"""

from __future__ import annotations

import os
import sys

import django


def main() -> int:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")
    try:
        django.setup()
    except SystemExit as error:
        if isinstance(error.code, int | None):
            raise
        sys.stderr.write(f"{error.code}\n")  # a wrong setting; 1 would be a regression
        return 2
    from evals import cli  # noqa: PLC0415 (it needs the apps loaded)

    return cli.main(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
