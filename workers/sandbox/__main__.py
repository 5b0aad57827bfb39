"""Run the sandbox provider as a process: `python -m workers.sandbox`."""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path

from workers.sandbox.app import create_app
from workers.sandbox.limits import GENEROUS, RateLimits
from workers.sandbox.server import build_server, listen
from workers.sandbox.settings import SandboxSettings


def main(argv: list[str] | None = None) -> None:
    """Serve until SIGTERM or SIGINT. The first line on stdout has the address."""
    options = _parser().parse_args(argv)
    settings = SandboxSettings(
        first_byte_s=options.first_byte,
        tokens_per_second=options.tokens_per_second,
        latency_s=options.latency,
        rate_limits={
            "*": RateLimits(
                requests=options.requests_per_minute,
                input_tokens=options.input_tokens_per_minute,
                output_tokens=options.output_tokens_per_minute,
            )
        },
        error_rates=options.error_rates,
        seed=options.seed,
        record_file=options.record,
    )
    sock = listen(options.host, options.port)
    host = f"[{options.host}]" if ":" in options.host else options.host
    sys.stdout.write(f"sandbox ready at http://{host}:{sock.getsockname()[1]}\n")
    sys.stdout.flush()
    server = build_server(create_app(settings))
    asyncio.run(server.serve(sockets=[sock]))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="sandbox", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 picks a free one")
    parser.add_argument("--first-byte", type=float, default=0.3, metavar="SECONDS")
    parser.add_argument("--tokens-per-second", type=float, default=80.0, help="0 is unlimited")
    parser.add_argument("--latency", type=float, metavar="SECONDS", help="time of a whole answer")
    for name in ("requests", "input-tokens", "output-tokens"):
        parser.add_argument(
            f"--{name}-per-minute",
            type=int,
            default=GENEROUS,
            metavar="N",
            help="per model",
        )
    parser.add_argument(
        "--error-rates",
        type=float,
        default=1.0,
        metavar="FACTOR",
        help="of the rates that /sandbox/rates lists; 0 gives honest answers",
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--record", type=Path, metavar="FILE", help="append calls as JSON lines")
    return parser


if __name__ == "__main__":
    main()
