"""A system of its own for one command: servers, sandbox provider, and the workers that it needs.

`python -m evals.local [--live] COMMAND...` runs the command with the addresses in its environment.
Only reports stay, in `.local/evals`, and no system that is running is touched. With `--live` the
provider is the real one, with the key of the environment. Then the database stays as well, in
`.local/evals-live`: its outputs were paid for, and its spend of the day counts. Its evidence goes
to the local stack: now if one runs, and at each start of one.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from evals.resuming import RESUME
from project.stack.children import PYTHON, Child, Launcher
from project.stack.components import Component, django_components
from project.stack.errors import AlreadyRunningError, StackError
from project.stack.local_dir import CHECKOUT, LIVE_EVIDENCE, LocalDir
from project.stack.ports import HOST, take_port
from project.stack.secrets import load_secrets
from project.stack.signals import wait_until
from project.stack.throwaway import running, stand_in_settings

THREADS: Final = 48
"""Threads of the worker of evaluations: a call takes seconds and hardly any CPU."""

START_S: Final = 60.0
SANDBOX_PORT: Final = 9300


NEEDED: Final = {"sandbox": (), "worker-control": (), "worker-evals": ("-c", str(THREADS))}
"""The components that run, with further arguments."""

KEYS: Final = ("ANTHROPIC_API_KEY", "ANTHROPIC_API_KEY_FILE")
FREE: Final = {
    "EVALS_DAILY_BUDGET_USD": "1000",
    "GLOBAL_DAILY_BUDGET_USD": "1000",
    "GLOBAL_MONTHLY_BUDGET_USD": "10000",
}
"""Budgets for the sandbox, which bills nothing."""

LIVE: Final = "--live"
REPORTS: Final = CHECKOUT / ".local" / "evals"
DATA: Final = CHECKOUT / ".local" / "evals-live"
"""The folder of the live system. `make clean` removes it."""

RESUME_LIVE: Final = 'make evals-live ARGS="--resume {run}"'


def why_not_live(environ: Mapping[str, str]) -> str:
    """Return why the real provider must not be called; empty if it may."""
    if environ.get("CI"):
        return "CI is set: evaluations with a real key never run in CI."
    if environ.get("PROVIDER") == "sandbox":
        return "PROVIDER is sandbox: unset it, or run `make evals` for the sandbox."
    if not any(environ.get(key) for key in KEYS):
        return "ANTHROPIC_API_KEY is not set: set it, or run `make evals` for the sandbox."
    return ""


def provider(environ: Mapping[str, str], *, live: bool, port: int) -> dict[str, str]:
    """Return the variables of the provider: the sandbox at this port, or the environment's."""
    if live:
        names = (*KEYS, "ANTHROPIC_BASE_URL")
        return {"PROVIDER": "anthropic", **{n: environ[n] for n in names if environ.get(n)}}
    return {
        "PROVIDER": "sandbox",
        "ANTHROPIC_API_KEY": "sandbox-needs-no-key",
        "ANTHROPIC_BASE_URL": f"http://{HOST}:{port}",
    }


@dataclass(frozen=True, slots=True)
class System:
    """The system while it runs."""

    env: Mapping[str, str]
    """The environment of its processes."""
    checkout: Path
    """The folder with the code that they run."""
    launcher: Launcher
    components: dict[str, Component] = field(default_factory=dict)
    children: dict[str, Child] = field(default_factory=dict)

    def start(self, component: Component) -> None:
        """Start a component and wait until it is ready."""
        env = {**self.env, **component.env}
        child = self.launcher.launch(component.name, component.argv, env=env, cwd=self.checkout)
        self.components[component.name], self.children[component.name] = component, child
        if not wait_until(component.ready, timeout_s=START_S, tick=child.check):
            raise StackError(f"{component.name} is not ready after {START_S:.0f} s: {child.log}")

    def restart(self, name: str) -> None:
        """Stop a component and start it again, so that it loads changed files."""
        self.children[name].stop()
        self.start(self.components[name])

    def stop(self) -> None:
        for child in self.children.values():
            child.stop()


@contextmanager
def system(*, live: bool = False, checkout: Path = CHECKOUT) -> Iterator[System]:
    """Run the system while the context lasts. `checkout` is the folder of its code."""
    with running(durable=live, keep=DATA if live else None) as servers, ExitStack() as exits:
        port = exits.enter_context(take_port(SANDBOX_PORT))
        others = {**os.environ, **stand_in_settings()}
        env = {
            **{n: v for n, v in others.items() if not n.startswith("ANTHROPIC_")},
            **servers.env,
            **provider(os.environ, live=live, port=port),
            **(_kept() if live else FREE),
            RESUME: RESUME_LIVE if live else "",
            "DJANGO_SETTINGS_MODULE": "project.settings",
        }
        _keep_reports(Path(env["LOCAL_DIR"]))
        _migrate(env, checkout)
        local = System(env, checkout, servers.launcher)
        exits.callback(local.stop)
        ports = {"web": 0, "flower": 0, **({} if live else {"sandbox": port})}
        found = django_components(logs=Path(servers.launcher.logs), ports=ports, flower_password="")
        for component in found:
            if component.name in NEEDED:
                more = NEEDED[component.name]
                local.start(replace(component, argv=(*component.argv, *more)))
        yield local


def _kept() -> dict[str, str]:
    """Return the variables of the live system that stay with its database."""
    return {"SECRET_KEY": load_secrets(LocalDir(DATA)).secret_key}


def _keep_reports(local: Path) -> None:
    """Let reports that go to this folder stay."""
    REPORTS.mkdir(parents=True, exist_ok=True)
    local.mkdir(parents=True, exist_ok=True)
    if not (local / "evals").is_symlink():
        (local / "evals").symlink_to(REPORTS)


def _migrate(env: Mapping[str, str], checkout: Path) -> None:
    done = subprocess.run(
        [PYTHON, "manage.py", "migrate", "-v0"],
        env=env,
        cwd=checkout,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise StackError(f"the database could not be migrated:\n{done.stderr[-2000:]}")


def main() -> int:
    command = sys.argv[1:]
    live = command[:1] == [LIVE]
    command = command[live:]
    if not command:
        print(f"usage: python -m evals.local [{LIVE}] COMMAND...", file=sys.stderr)
        return 2
    if live and (problem := why_not_live(os.environ)):
        print(problem, file=sys.stderr)
        return 2
    try:
        with system(live=live) as local:
            kept = f", and the database in {DATA}" if live else ""
            print(f"Reports stay in {REPORTS}{kept}.", file=sys.stderr)
            code = _exit_code(command, local.env)
            if live:
                _export(local.env)
            return code
    except AlreadyRunningError:
        print("Another command of the live system runs here: wait for its end.", file=sys.stderr)
    except StackError as error:
        print(error, file=sys.stderr)
    return 2  # 1 would be a regression


def _export(env: Mapping[str, str]) -> None:
    """Write the evidence of the live system for the local stack, which loads it if it runs.

    The exit code stays that of the evaluation: `_exit_code` has printed what fails here.
    """
    file = str(LIVE_EVIDENCE)
    LIVE_EVIDENCE.unlink(missing_ok=True)
    _exit_code([PYTHON, "-m", "evals", "export", "--follow", file], env)
    if LIVE_EVIDENCE.exists() and LocalDir.from_environ().env_file.exists():
        print("The local stack runs, and loads it:", file=sys.stderr)
        _exit_code([PYTHON, str(CHECKOUT / "manage.py"), "load_evidence", file], os.environ)


def _exit_code(command: Sequence[str], env: Mapping[str, str]) -> int:
    """Run a command to its end. Ctrl-C reaches it too, and it ends by itself."""
    try:
        started = subprocess.Popen(command, env=env)
    except OSError as error:
        raise StackError(f"{command[0]} cannot be started: {error.strerror}.") from None
    with started as child:
        while True:
            try:
                return child.wait()
            except KeyboardInterrupt:
                continue


if __name__ == "__main__":
    sys.exit(main())
