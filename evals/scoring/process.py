"""The process of the scorers: scores each output, and answers each input, from its socket.

An alarm of the kernel ends it if an output takes too long. That also stops a regular expression,
which holds the interpreter, and works if the parent is gone.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
from collections.abc import Mapping
from typing import Any

from aifeature import features, registry
from aifeature.services.functions import function
from aifeature.spec import Feature
from aifeature.suites import Case
from evals.scoring import scorers


def main(connection: socket.socket, folders: list[str]) -> None:
    """Load the features in these folders, and serve until the parent closes the socket."""
    features.__path__ = folders
    found = registry.all_features()
    os.dup2(sys.stdout.fileno(), sys.stderr.fileno())  # a later line could quote an output
    with connection, connection.makefile("rb") as requests:
        connection.sendall(b"\n")
        for line in requests:
            request = json.loads(line)
            signal.setitimer(signal.ITIMER_REAL, request["limit_s"])
            reply = _reply(found.get(request["slug"]), request)
            signal.setitimer(signal.ITIMER_REAL, 0)
            connection.sendall(json.dumps(reply).encode() + b"\n")


def _reply(feature: Feature | None, request: Mapping[str, Any]) -> dict[str, Any]:
    if feature is None:
        return {"problem": f"the process of the scorers has loaded files without {request['slug']}"}
    what = "plain" if "plain" in request else "a scorer"
    try:
        if "plain" in request:
            return {"plain": function.result_of(feature, "plain", request["plain"], "")}
        case = Case.model_validate(request["case"])
        parts = scorers.score(feature, case, request["output"])
        return {"parts": [part.as_json() for part in parts]}
    except scorers.ScorerError as error:
        return {"problem": str(error)}
    except BaseException as error:  # noqa: BLE001 (the code of a feature may raise anything)
        return {"problem": f"{what} of {feature.slug} raised {type(error).__name__}"}


if __name__ == "__main__":
    main(socket.socket(fileno=int(sys.argv[1])), sys.argv[2:])
