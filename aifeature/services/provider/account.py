"""The state of the provider account: whether it can sign in and pay, for all features and models.

An error of one call proves nothing, since its cause may be the request or the answer of a proxy. So
it only starts a probe, a tiny call with a fixed prompt. Only a probe that fails in the same way
stops the account. Then nothing is sent but one probe at a time, until one is answered.

The state is a row in PostgreSQL, changed together with its alert. Its times are the database's.
"""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, Literal

from django.conf import settings
from django.db import Error, connection, transaction
from django.db.models import DurationField, ExpressionWrapper, F, Q, QuerySet
from django.db.models.functions import Coalesce, Now

from aifeature.models import Attempt, AttemptState, ProviderAccount
from aifeature.models.functions import connected
from aifeature.models.transitions import AttemptRefusedError
from aifeature.services.alerting import alerts
from aifeature.services.provider import account_words
from workers.inference import AnswerUnusable, Deferred, InferenceError, RequestRejected

logger = logging.getLogger(__name__)

KIND: Final = "provider_account"
"""The kind of its alert."""

POLL_S: Final = 0.5
"""Age in seconds at which a process reads the state again."""

LEASE_S: Final = 45.0
"""Seconds after which a probe without a result makes room for another: its process may be dead.
Longer than a probe of each model and the storing of their ends take."""

PROBE_EVERY_S: Final = (5.0, 10.0, 20.0, 30.0)
"""Seconds until the next probe, by how many failed in a row; the last one holds from there on."""

LONGEST_S: Final = PROBE_EVERY_S[-1]
"""Longest wait that a call is told."""

BUSY_S: Final = 2.0
"""Seconds until a call is to come back while a probe is under way."""

CLEARED_S: Final = 10.0
"""Seconds for which an error that a probe found to be the request's starts no further probe."""

PER_S: Final = 10
"""Calls that one process tells to come back in one second: each costs a run of a job. More, if so
many wait that LONGEST_S has no room for them."""

UNUSED_S: Final = 600.0
"""Seconds without a probe after which a stopped account may be one whose key was replaced."""

Probe = Callable[[str], BaseException | None]
"""Sends one probe to a model. Returns its error, None if it was answered."""

Errors = list[BaseException | None]
"""Of the probes of one turn, in their order; never empty."""

Finding = Literal["account", "request", "busy", "unclear"]
"""What an error was about. `busy`: another probe is under way; `unclear`: the probe gave no answer
and no error of the account."""


def name() -> str:
    """The account of this process: the provider, and a fingerprint of the key instead of it."""
    key = settings.AIFEATURE["API_KEY"] or ""
    return f"{settings.AIFEATURE['PROVIDER']}, key {hashlib.sha256(key.encode()).hexdigest()[:8]}"


@dataclass(frozen=True, slots=True)
class _Known:
    account: str
    read_at: float
    due_at: float | None
    """When the next probe is due, by the clock of this process; None: the account is well."""


class StateCache:
    """The state at most half a second old, for all threads of a process.

    One thread reads at a time; the others use what was read before, and all do while the database
    cannot be read.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._known: _Known | None = None
        self._cleared: dict[tuple[str, str], float] = {}
        self._pace = threading.Lock()
        self._next = float("-inf")
        """When the next call that is turned away is to come back."""

    def back_in_s(self, earliest_s: float) -> float:
        """Seconds until a call that is turned away is to come back, behind those before it.

        Those before it may have been woken, or be over. So no wait is longer than LONGEST_S, if the
        probe is due by then, and whoever would wait longer is told a moment of its second half.
        """
        with self._pace:
            now = self._clock()
            at = max(now + earliest_s, self._next)
            self._next = at + 1 / PER_S
            wait_s = at - now
        longest_s = max(earliest_s, LONGEST_S)
        room_s = longest_s - max(earliest_s, LONGEST_S / 2)
        if wait_s <= longest_s:
            return wait_s
        return longest_s - wait_s % room_s if room_s else longest_s

    def probe_in_s(self) -> float | None:
        """Seconds until the next probe is due, at least 0; None while the account is well."""
        account = name()
        if self._is_old(account) and self._lock.acquire(blocking=self._known is None):
            try:
                if self._is_old(account):
                    self._refresh(account)
            finally:
                self._lock.release()
        known = self._known
        if known is None or known.due_at is None or known.account != account:
            return None
        return max(known.due_at - self._clock(), 0.0)

    def clear(self) -> None:
        """Read again at the next call."""
        self._known = None
        self._cleared = {}
        self._begin_anew()

    def reread(self) -> None:
        """Read again at the next call, and keep which errors were cleared."""
        self._known = None

    def was_cleared(self, model: str, code: str) -> bool:
        """Whether a probe found a moment ago that this error is not the account's."""
        return self._clock() < self._cleared.get((model, code), float("-inf"))

    def note_cleared(self, model: str, code: str) -> None:
        """A probe found that this error is not the account's."""
        self._cleared[model, code] = self._clock() + CLEARED_S

    def _is_old(self, account: str) -> bool:
        known = self._known
        return known is None or known.account != account or self._clock() - known.read_at >= POLL_S

    def _refresh(self, account: str) -> None:
        now = self._clock()
        try:
            wait = _read(account)
        except Error as error:
            known = self._known
            logger.warning("account: the database cannot be read, using the last state: %s", error)
            self._known = _Known(account, now, known.due_at if known else None)
        else:
            self._known = _Known(account, now, None if wait is None else now + wait)
            if wait is None:
                self._begin_anew()

    def _begin_anew(self) -> None:
        """Nobody waits for what they were told: calls are answered."""
        with self._pace:
            self._next = float("-inf")


cache = StateCache()


def _read(account: str) -> float | None:
    wait = ExpressionWrapper(F("next_probe_at") - Now(), output_field=DurationField())
    try:
        rows = _row(account).filter(stopped_at__isnull=False)
        found: list[timedelta | None] = list(rows.values_list(wait, flat=True))
    finally:
        if not connection.in_atomic_block:
            connection.close()
    return (found[0] or timedelta()).total_seconds() if found else None


def admit(model: str, *, models: Sequence[str], probe: Probe) -> None:
    """Let a call pass if the account is well, after a probe if it was stopped and one is due.

    Args:
        model: An id of the catalog.
        models: As in `suspect`.
        probe: Sends a probe.

    Raises:
        Deferred: The account is stopped. It says when to come back.
    """
    due_in = cache.probe_in_s()
    if due_in is None:
        return
    if due_in > 0 or not _take_turn(stopped=True):
        raise _deferred(due_in)
    if _tried(model, models, probe) == "request":
        return
    raise _deferred(cache.probe_in_s() or 0.0)


def suspect(error: InferenceError, model: str, *, models: Sequence[str], probe: Probe) -> Finding:
    """Find out by a probe whether an error that may be account-wide is so.

    Args:
        error: Of a call to `model`; its `account_wide` is true.
        model: An id of the catalog.
        models: All models that may be called. A 403 may be about one model, so all others have to
            fail as well.
        probe: Sends a probe.
    """
    if cache.was_cleared(model, error.code):
        return "request"
    with connected():
        ProviderAccount.objects.bulk_create(
            [ProviderAccount(account=name())], ignore_conflicts=True
        )
        if _row(name()).filter(stopped_at__isnull=False).exists():
            cache.reread()
            return "account"
    if not _take_turn(stopped=False):
        return "busy"
    found = _tried(model, models, probe)
    if found == "request":
        cache.note_cleared(model, error.code)
    return found


_FORBIDDEN: Final = 403


def _tried(model: str, models: Sequence[str], probe: Probe) -> Finding:
    """Send what was leased and store what it found."""
    try:
        errors = _probes(model, models, probe)
    except BaseException:
        _let_go()
        raise
    error, found = errors[-1], _finding(errors)
    if found == "account" and isinstance(error, InferenceError):
        _stop(error)
    elif found == "request":
        _well()
    elif isinstance(errors[0], AttemptRefusedError):
        _give_back()
    else:
        _let_go()
    return found


def _probes(model: str, models: Sequence[str], probe: Probe) -> Errors:
    """Probe a model; after a 403, which may be about it alone, the others until one is let in."""
    errors: Errors = [probe(model)]
    if _is_forbidden(errors[0]):
        for other in models:
            if other != model:
                errors.append(probe(other))
                if _about(errors[-1]) != "unclear" and not _is_forbidden(errors[-1]):
                    break
    return errors


def _finding(errors: Errors) -> Finding:
    """What the probes of one turn show; a model that none could ask may be let in."""
    found = [_about(error) for error in errors]
    return "unclear" if _is_forbidden(errors[-1]) and "unclear" in found else found[-1]


def _is_forbidden(error: BaseException | None) -> bool:
    return getattr(error, "status", None) == _FORBIDDEN


def _about(error: BaseException | None) -> Finding:
    """What the end of a probe shows. One that is answered, or refused as a request, was let in."""
    if error is None or isinstance(error, AnswerUnusable):
        return "request"
    if isinstance(error, InferenceError) and error.account_wide:
        return "account"
    if isinstance(error, RequestRejected) and error.status is not None:
        return "request"
    return "unclear"


def _row(account: str) -> QuerySet[ProviderAccount]:
    return ProviderAccount.objects.filter(account=account)


def _take_turn(*, stopped: bool) -> bool:
    """Lease the one probe; False if another is under way, or the state is another."""
    free = _row(name()).filter(Q(probe_until=None) | Q(probe_until__lte=Now()))
    if stopped:
        free = free.filter(stopped_at__isnull=False, next_probe_at__lte=Now())
    else:
        free = free.filter(stopped_at=None)
    with connected():
        return bool(free.update(probe_until=Now() + timedelta(seconds=LEASE_S)))


def _stop(error: InferenceError) -> None:
    with connected(), transaction.atomic():
        row = _row(name()).select_for_update().get()
        every = PROBE_EVERY_S[min(row.failed_probes, len(PROBE_EVERY_S) - 1)]
        news = row.stopped_at is None
        _row(name()).update(
            stopped_at=Coalesce("stopped_at", Now()),
            code=error.code,
            detail=error.detail,
            failed_probes=F("failed_probes") + 1,
            probe_until=None,
            next_probe_at=Now() + timedelta(seconds=every),
            tried_at=Now(),
        )
        figures = {"code": error.code, "detail": error.detail}
        alerts.begin(KIND, name(), account_words.summary(name(), error.code, error.detail), figures)
    cache.reread()
    if news:
        logger.error("account %s is stopped: %s (%s)", name(), error.code, error.detail)


def _well() -> None:
    with connected(), transaction.atomic():
        _end(_row(name()))
        over = alerts.end(KIND, name())
    cache.reread()
    if over:
        logger.warning("account %s is well again: a probe was answered", name())


def _end(rows: QuerySet[ProviderAccount]) -> None:
    rows.update(
        stopped_at=None,
        code="",
        detail="",
        failed_probes=0,
        probe_until=None,
        next_probe_at=None,
        tried_at=Now(),
    )


def end_unused() -> int:
    """End the state of keys that no process uses any more. Returns how many.

    While jobs wait for a key, its probes go on. One without a probe for UNUSED_S, while another key
    is answered, was replaced.
    """
    old = ProviderAccount.objects.filter(
        stopped_at__isnull=False, tried_at__lt=Now() - timedelta(seconds=UNUSED_S)
    )
    answered = Attempt.objects.filter(
        state=AttemptState.SETTLED, started_at__gt=Now() - timedelta(seconds=UNUSED_S)
    )
    count = 0
    for row in old.exclude(probe_until__gt=Now()):
        if answered.exists():
            with transaction.atomic():
                _end(ProviderAccount.objects.filter(pk=row.pk))
                alerts.end(KIND, row.account)
            count += 1
    return count


def stopped() -> list[ProviderAccount]:
    """The accounts that refuse every call."""
    return list(ProviderAccount.objects.filter(stopped_at__isnull=False).order_by("account"))


def is_well() -> bool:
    """Whether calls are sent with the key of this process; without one: with every key.

    So the state of a key that was replaced counts no more where the other one is set. While a probe
    is under way nobody knows: calls that wait for it are sent after it.
    """
    rows = _row(name()) if settings.AIFEATURE["API_KEY"] else ProviderAccount.objects.all()
    return not rows.filter(Q(stopped_at__isnull=False) | Q(probe_until__gt=Now())).exists()


def _give_back() -> None:
    """Nothing was sent, since the ledger had no room for it: the turn is another feature's."""
    with connected():
        _row(name()).update(probe_until=None)


def _let_go() -> None:
    """The probe found nothing out: make room for the next one."""
    wait = timedelta(seconds=PROBE_EVERY_S[0])
    with connected():
        _row(name()).update(probe_until=None, tried_at=Now())
        _row(name()).filter(stopped_at__isnull=False).update(next_probe_at=Now() + wait)
    cache.reread()


def _deferred(due_in: float) -> Deferred:
    """Come back after the next probe, each call at a moment of its own."""
    wait_s = cache.back_in_s(max(due_in, BUSY_S))
    return Deferred(reason="account", wait_s=wait_s, scope=name())
