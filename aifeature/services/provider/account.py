"""State of the provider account for all features and models: whether it can sign in and pay.

The error of one call proves nothing, since its cause may be the request or a proxy. It starts a
probe: a tiny call with a fixed prompt. Only a probe with an error of the account stops the account.
Then one probe at a time is sent and no other call, until a probe is answered.

The state is a row in PostgreSQL, changed together with its alert. Times are the database's.
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
"""Kind of the account's alert."""

POLL_S: Final = 0.5
"""Age in seconds at which a process reads the state again."""

LEASE_S: Final = 45.0
"""Lease of a probe in seconds, in case its process dies. Longer than it takes to probe each model
and store the results."""

PROBE_EVERY_S: Final = (5.0, 10.0, 20.0, 30.0)
"""Seconds until the next probe, by the number of failures in a row. The last value repeats."""

LONGEST_S: Final = PROBE_EVERY_S[-1]
"""Longest wait of a deferred call."""

BUSY_S: Final = 2.0
"""Least wait of a call that is deferred while a probe is in flight."""

CLEARED_S: Final = 10.0
"""Seconds for which an error starts no new probe after a probe has cleared the account of it."""

PER_S: Final = 10
"""Deferred calls of one process that return per second, since each costs a run of a job. More
return if they do not fit within LONGEST_S."""

UNUSED_S: Final = 600.0
"""Seconds without a probe after which the key of a stopped account may have been replaced."""

Probe = Callable[[str], BaseException | None]
"""Sends one probe to a model. Returns its error, or None if it was answered."""

Errors = list[BaseException | None]
"""Results of the probes of one turn, in their order; never empty."""

Finding = Literal["account", "request", "busy", "unclear"]
"""Cause of an error. `busy`: another probe is in flight. `unclear`: the probe got neither an answer
nor an error of the account."""


def name() -> str:
    """Return the account of this process: the provider and a fingerprint of the key."""
    key = settings.AIFEATURE["API_KEY"] or ""
    return f"{settings.AIFEATURE['PROVIDER']}, key {hashlib.sha256(key.encode()).hexdigest()[:8]}"


@dataclass(frozen=True, slots=True)
class _Cached:
    account: str
    read_at: float
    due_at: float | None
    """Time of the next probe, by the clock of this process; None if the account is not stopped."""


class StateCache:
    """Cache of the state for all threads of a process.

    One thread refreshes it; the others use the cached state meanwhile. While the database cannot
    be read, all threads use the last state.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._cached: _Cached | None = None
        self._cleared: dict[tuple[str, str], float] = {}
        self._pace = threading.Lock()
        self._next = float("-inf")
        """Least return time of the next deferred call."""

    def back_in_s(self, earliest_s: float) -> float:
        """Return the wait of a deferred call in seconds, after the calls deferred before it.

        Those may have ended meanwhile. So a wait is at most LONGEST_S, or `earliest_s` if that is
        longer. A call beyond this limit returns in the second half of LONGEST_S.
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
        """Return the seconds until the next probe is due, or None if the account is not stopped."""
        account = name()
        if self._is_old(account) and self._lock.acquire(blocking=self._cached is None):
            try:
                if self._is_old(account):
                    self._refresh(account)
            finally:
                self._lock.release()
        cached = self._cached
        if cached is None or cached.due_at is None or cached.account != account:
            return None
        return max(cached.due_at - self._clock(), 0.0)

    def clear(self) -> None:
        """Discard everything."""
        self._cached = None
        self._cleared = {}
        self._reset_pace()

    def reread(self) -> None:
        """Read the state again on the next access. Cleared errors are kept."""
        self._cached = None

    def was_cleared(self, model: str, code: str) -> bool:
        """Return whether a probe cleared the account of this error within CLEARED_S."""
        return self._clock() < self._cleared.get((model, code), float("-inf"))

    def note_cleared(self, model: str, code: str) -> None:
        """Record that a probe cleared the account of this error."""
        self._cleared[model, code] = self._clock() + CLEARED_S

    def _is_old(self, account: str) -> bool:
        old = self._cached
        return old is None or old.account != account or self._clock() - old.read_at >= POLL_S

    def _refresh(self, account: str) -> None:
        now = self._clock()
        try:
            wait = _read(account)
        except Error as error:
            old = self._cached
            logger.warning("account: the database cannot be read, using the last state: %s", error)
            self._cached = _Cached(account, now, old.due_at if old else None)
        else:
            self._cached = _Cached(account, now, None if wait is None else now + wait)
            if wait is None:
                self._reset_pace()

    def _reset_pace(self) -> None:
        """Forget earlier deferrals, since calls are sent again."""
        with self._pace:
            self._next = float("-inf")


cache = StateCache()


def _read(account: str) -> float | None:
    wait = ExpressionWrapper(F("next_probe_at") - Now(), output_field=DurationField())
    try:
        rows = _row(account).filter(stopped_at__isnull=False)
        waits: list[timedelta | None] = list(rows.values_list(wait, flat=True))
    finally:
        if not connection.in_atomic_block:
            connection.close()
    return (waits[0] or timedelta()).total_seconds() if waits else None


def admit(model: str, *, models: Sequence[str], probe: Probe) -> None:
    """Let a call pass unless the account is stopped. If a probe is due, send it first.

    Arguments are as in `suspect`.

    Raises:
        Deferred: The account is stopped. It holds the time to wait.
    """
    due_in = cache.probe_in_s()
    if due_in is None:
        return
    if due_in > 0 or not _take_turn(stopped=True):
        raise _deferred(due_in)
    if _probe_turn(model, models, probe) == "request":
        return
    raise _deferred(cache.probe_in_s() or 0.0)


def suspect(error: InferenceError, model: str, *, models: Sequence[str], probe: Probe) -> Finding:
    """Determine with a probe whether an error of a call to `model` concerns the whole account.

    The error has `account_wide` set. `models` are all models that may be called: a 403 may concern
    one model only, so the account is stopped only if the others fail as well.
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
    finding = _probe_turn(model, models, probe)
    if finding == "request":
        cache.note_cleared(model, error.code)
    return finding


_FORBIDDEN: Final = 403


def _probe_turn(model: str, models: Sequence[str], probe: Probe) -> Finding:
    """Send the probes of a leased turn and store the result."""
    try:
        errors = _probes(model, models, probe)
    except BaseException:
        _end_turn()
        raise
    error, finding = errors[-1], _finding(errors)
    if finding == "account" and isinstance(error, InferenceError):
        _stop(error)
    elif finding == "request":
        _resume()
    elif isinstance(errors[0], AttemptRefusedError):
        _skip_turn()
    else:
        _end_turn()
    return finding


def _probes(model: str, models: Sequence[str], probe: Probe) -> Errors:
    """Probe a model. After a 403, probe the other models until one is accepted."""
    errors: Errors = [probe(model)]
    if _is_forbidden(errors[0]):
        for other in models:
            if other != model:
                errors.append(probe(other))
                if _about(errors[-1]) != "unclear" and not _is_forbidden(errors[-1]):
                    break
    return errors


def _finding(errors: Errors) -> Finding:
    """Combine the results of one turn. After a 403, an unclear model may still be accepted."""
    causes = [_about(error) for error in errors]
    return "unclear" if _is_forbidden(errors[-1]) and "unclear" in causes else causes[-1]


def _is_forbidden(error: BaseException | None) -> bool:
    return getattr(error, "status", None) == _FORBIDDEN


def _about(error: BaseException | None) -> Finding:
    """Classify the result of a probe. An answer or a rejected request means the account works."""
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
    """Lease the probe. Return False if another is in flight or the state has changed."""
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
        is_new = row.stopped_at is None
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
    if is_new:
        logger.error("account %s is stopped: %s (%s)", name(), error.code, error.detail)


def _resume() -> None:
    with connected(), transaction.atomic():
        _end(_row(name()))
        was_open = alerts.end(KIND, name())
    cache.reread()
    if was_open:
        logger.warning("account %s is no longer stopped: a probe was answered", name())


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
    """Reset the state of keys that no process uses any more. Return their number.

    Probes of a key continue while jobs wait for it. If a key had no probe for UNUSED_S while calls
    with another key were answered, it was replaced.
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
    """Return the stopped accounts."""
    return list(ProviderAccount.objects.filter(stopped_at__isnull=False).order_by("account"))


def is_well() -> bool:
    """Return whether calls are sent with this process's key, or with every key if it has none.

    So a replaced key does not count in a process with the new one. False while a probe is in
    flight, since its result is unknown.
    """
    rows = _row(name()) if settings.AIFEATURE["API_KEY"] else ProviderAccount.objects.all()
    return not rows.filter(Q(stopped_at__isnull=False) | Q(probe_until__gt=Now())).exists()


def _skip_turn() -> None:
    """Release the lease without a probe: no budget had room, but another feature's may."""
    with connected():
        _row(name()).update(probe_until=None)


def _end_turn() -> None:
    """Release the lease after a probe without a clear result."""
    wait = timedelta(seconds=PROBE_EVERY_S[0])
    with connected():
        _row(name()).update(probe_until=None, tried_at=Now())
        _row(name()).filter(stopped_at__isnull=False).update(next_probe_at=Now() + wait)
    cache.reread()


def _deferred(due_in: float) -> Deferred:
    """Defer a call until after the next probe. Calls return one after the other."""
    wait_s = cache.back_in_s(max(due_in, BUSY_S))
    return Deferred(reason="account", wait_s=wait_s, scope=name())
