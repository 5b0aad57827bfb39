"""Carries faults out and lifts them again, each in a thread of its own, and notes when."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from project.stack.signals import wait_until
from tests.chaos.caps import GLOBAL
from tests.chaos.flips import PARTLY_PERCENT, Flip
from tests.chaos.plan import (
    LLM_WORKERS,
    PARTLY_S,
    STORMS,
    SWITCHES,
    Fault,
    Kind,
    freezes_apart_s,
)
from tests.chaos.proxy import Mode
from tests.chaos.scenario import FEATURE
from tests.chaos.stack import START_S, NotReadyError, Stack

ENDS_S: Final = 30.0
"""Seconds until a process must end after SIGTERM: the default of common orchestrators."""

RELOADS_S: Final = 150.0
"""Seconds that a reload may take: the check, the start of new processes, the end of old ones."""

WORK_S: Final = 20.0
"""Seconds that a fault waits until its worker has jobs."""

SOME_WORK_S: Final = 5.0
"""Seconds that a flip waits until a job runs."""

_RULES: Final[dict[Kind, Callable[[random.Random], list[dict[str, Any]]]]] = {
    Kind.RATE_LIMITED: lambda dice: [
        {"kind": "rate_limited", "probability": 0.6, "retry_after": dice.choice([None, 1, 3])}
    ],
    Kind.OVERLOADED: lambda _: [{"kind": "overloaded", "probability": 0.6}],
    Kind.STALL: lambda dice: [
        {"kind": "stall", "probability": 0.4, "after_events": dice.randrange(2, 12)}
    ],
    Kind.CONNECTION_CUT: lambda dice: [
        {"kind": "connection_cut", "probability": 0.3, "after_events": dice.randrange(1, 12)},
        {"kind": "connection_cut", "probability": 0.3},
    ],
    Kind.STREAM_TRUNCATED: lambda dice: [
        {"kind": "stream_truncated", "probability": 0.3, "after_events": dice.randrange(2, 12)},
        {"kind": "stream_truncated", "probability": 0.3},
    ],
    Kind.GARBLED_CHUNK: lambda dice: [
        {"kind": "garbled_chunk", "probability": 0.5, "after_events": dice.randrange(2, 12)}
    ],
    Kind.API_ERROR: lambda _: [{"kind": "api_error", "probability": 0.9}],
    Kind.GATEWAY_TIMEOUT: lambda _: [
        {"kind": "gateway_timeout", "probability": 0.4},
        {"kind": "proxy_timeout", "probability": 0.5, "status": 504},
        {"kind": "proxy_timeout", "probability": 0.7, "status": 524},
    ],
    Kind.SILENCE: lambda _: [{"kind": "slow_first_byte", "probability": 0.9}],
}


@dataclass(slots=True)
class Done:
    """A fault that was carried out. Times in seconds since the epoch."""

    number: int
    kind: str
    target: str
    begun: float
    ended: float | None = None
    """When what it hit did its work again; None while it has not."""

    hit: dict[str, float] = field(default_factory=dict)
    """Workers whose jobs it interrupts, and when."""

    back: dict[str, float] = field(default_factory=dict)
    """Processes that were restarted one after the other, and the times when they worked again."""

    killed: dict[str, float] = field(default_factory=dict)
    """Processes that had not ended in time after SIGTERM, and when that time was up."""

    flip: Flip | None = None
    error: str = ""


class Injector:
    """Runs a schedule against a stack."""

    def __init__(self, stack: Stack, faults: Sequence[Fault], *, seed: int) -> None:
        self._stack = stack
        self._faults = faults
        self._seed = seed
        self._locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
        self._frozen = (float("-inf"), 0.0)
        self._threads: list[threading.Thread] = []
        self.done: list[Done] = []

    def start(self) -> None:
        """Begin; time counts from now."""
        begin = time.monotonic()
        for fault in self._faults:
            thread = threading.Thread(target=self._run, args=(fault, begin), daemon=True)
            thread.start()
            self._threads.append(thread)

    def present(self) -> list[Done]:
        """The faults that are on."""
        return [done for done in tuple(self.done) if done.ended is None]

    def is_over(self) -> bool:
        """Whether every fault has been carried out and lifted."""
        return not any(thread.is_alive() for thread in self._threads)

    def _run(self, fault: Fault, begin: float) -> None:
        time.sleep(max(0.0, begin + fault.at_s - time.monotonic()))
        with ExitStack() as exits:
            if fault.kind is not Kind.ROLLING_RESTART:  # it takes each process in its turn
                for need in sorted(fault.needs):
                    exits.enter_context(self._locks[need])
            begun = time.time()
            done = Done(fault.number, fault.kind, fault.target, begun)
            done.hit = dict.fromkeys(_hit(fault), begun)
            self.done.append(done)
            try:
                self._carry_out(fault, done)
            except (NotReadyError, OSError, RuntimeError) as error:
                done.error = f"{type(error).__name__}: {error}"
            done.ended = time.time()

    def _carry_out(self, fault: Fault, done: Done) -> None:
        dice = random.Random(self._seed * 1000 + fault.number)
        place, _, way = str(fault.kind).rpartition("_")
        if fault.kind in STORMS:
            with self._storm(_RULES[fault.kind](dice)):
                time.sleep(fault.lasts_s)
        elif fault.kind in SWITCHES:
            self._flip(fault, done, slug=dice.choice([FEATURE, GLOBAL]))
        elif fault.kind is Kind.TWO_BEATS:
            self._two_beats(fault.lasts_s)
        elif fault.kind is Kind.ROLLING_RESTART:
            self._rolling_restart(done)
        elif fault.kind is Kind.POSTGRES_CRASH:
            self._stack.crash_postgres(away_s=fault.lasts_s)
        elif fault.kind is Kind.VALKEY_KILL:
            self._stack.kill_valkey(away_s=fault.lasts_s)
        elif fault.kind is Kind.VALKEY_FLUSH:
            self._stack.flush_valkey()
        elif way in {"drop", "freeze"}:
            self._network(place, Mode(way), fault.lasts_s)
        elif place == "web_child":
            self._child(way, fault.lasts_s, dice)
        else:
            self._process(fault.target, way, fault.lasts_s, done)

    def _process(self, name: str, way: str, lasts_s: float, done: Done) -> None:
        process = self._stack.process(name)
        self._stack.wait_ready(name)
        if way == "stop" and name == "web":
            self._wait_for_a_sign_of_life(lasts_s)
        if name in LLM_WORKERS:  # hitting an idle one would prove little
            wait_until(lambda: self._stack.is_working(name), timeout_s=WORK_S)
            done.begun = done.hit[name] = time.time()
        if way == "stop":
            process.signal(signal.SIGSTOP)
            time.sleep(lasts_s)
            process.signal(signal.SIGCONT)
            return
        life = process.child
        process.signal(signal.SIGKILL)
        if not wait_until(lambda: process.child is not life, timeout_s=ENDS_S):
            raise NotReadyError(f"{name} was not started anew")
        self._stack.wait_ready(name)

    def _child(self, way: str, lasts_s: float, dice: random.Random) -> None:
        web = self._stack.process("web")
        self._stack.wait_ready("web")
        if way == "stop":
            self._wait_for_a_sign_of_life(lasts_s)
        child = dice.choice(web.children())
        if way == "stop":
            os.kill(child, signal.SIGSTOP)
            time.sleep(lasts_s)
            os.kill(child, signal.SIGCONT)
            return
        count = len(web.children())
        os.kill(child, signal.SIGKILL)
        full = lambda: child not in web.children() and len(web.children()) == count  # noqa: E731
        if not wait_until(full, timeout_s=ENDS_S):
            raise NotReadyError("gunicorn has not replaced its child")

    def _wait_for_a_sign_of_life(self, lasts_s: float) -> None:
        """Begin a freeze of the web server late rather than too soon after the one before.

        The plan keeps them apart, but faults may come later than planned. The lock of `web` is
        held.
        """
        begun, lasted_s = self._frozen
        free_at = begun + freezes_apart_s(lasted_s, lasts_s)
        time.sleep(max(0.0, free_at - time.monotonic()))
        self._frozen = (time.monotonic(), lasts_s)

    def _two_beats(self, lasts_s: float) -> None:
        beat = self._stack.second_beat
        beat.start()
        try:
            if not wait_until(beat.is_ready, timeout_s=START_S):
                raise NotReadyError(f"the second beat: {beat.child.log}")
            time.sleep(lasts_s)
        finally:
            beat.child.stop()

    def _rolling_restart(self, done: Done) -> None:
        """Restart as a deploy does: all kinds at the same time, the processes of a kind in turn."""

        def workers() -> None:
            for name in LLM_WORKERS:
                self._replace(name, done)

        parts: list[Callable[[], None]] = [
            self._reload_web,
            workers,
            lambda: self._replace("control", done),
            lambda: self._replace("beat", done),
        ]
        with ThreadPoolExecutor(len(parts)) as pool:
            for part in [pool.submit(part) for part in parts]:
                part.result()

    def _reload_web(self) -> None:
        with self._locks["web"]:
            self._stack.wait_ready("web")
            web = self._stack.process("web")
            before = set(web.children())
            web.signal(signal.SIGHUP, whole=False)
            if not wait_until(lambda: not before & set(web.children()), timeout_s=RELOADS_S):
                raise NotReadyError("gunicorn still runs workers of before the reload")

    def _replace(self, name: str, done: Done) -> None:
        with self._locks[name]:
            self._stack.wait_ready(name)
            process = self._stack.process(name)
            life = process.child
            done.hit[name] = time.time()
            process.signal(signal.SIGTERM, whole=False)
            if not wait_until(lambda: process.child is not life, timeout_s=ENDS_S):
                done.hit[name] = done.killed[name] = time.time()
                process.signal(signal.SIGKILL)
                wait_until(lambda: process.child is not life, timeout_s=ENDS_S)
            self._stack.wait_ready(name)
            done.back[name] = time.time()

    def _flip(self, fault: Fault, done: Done, *, slug: str) -> None:
        staff, cancels = self._stack.staff, fault.kind is Kind.SWITCH_CANCEL
        wait_until(self._anybody_works, timeout_s=SOME_WORK_S)
        asked_at, stopped_at = staff.stop(slug, cancels=cancels)
        done.flip = Flip(slug, cancels, asked_at, stopped_at)
        time.sleep(fault.lasts_s)
        if not cancels:
            done.flip.partly_from, _ = staff.release(slug, percent=PARTLY_PERCENT)
            time.sleep(PARTLY_S)
        done.flip.released_from, done.flip.released_at = staff.release(slug, percent=100)

    def _anybody_works(self) -> bool:
        return any(self._stack.is_working(name) for name in LLM_WORKERS)

    def _network(self, place: str, mode: Mode, lasts_s: float) -> None:
        proxy = self._stack.proxies[place]
        proxy.set(mode)
        try:
            time.sleep(lasts_s)
        finally:
            proxy.set(Mode.PASS)

    @contextmanager
    def _storm(self, rules: list[dict[str, Any]]) -> Iterator[None]:
        with self._locks["storms"]:
            self._stack.storm(rules, on=True)
        try:
            yield
        finally:
            with self._locks["storms"]:
                self._stack.storm(rules, on=False)


def _hit(fault: Fault) -> tuple[str, ...]:
    if "postgres" in fault.needs:
        return LLM_WORKERS
    return (fault.target,) if fault.target in LLM_WORKERS else ()
