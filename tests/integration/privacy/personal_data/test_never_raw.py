"""Planted personal data that is sent by each route is stored nowhere.

The search reads every column of every table, Redis, log lines, error reports and task messages.
"""

from __future__ import annotations

import io
import json
import logging
import re
from collections.abc import Iterator
from http import HTTPStatus
from itertools import islice
from typing import Any, Final

import pytest
from django.conf import settings as django_settings
from django.contrib.admin.utils import quote
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connection
from django.db.models import Model

from aifeature.models import AccessBlock, ApiToken, Job, RateOverride
from aifeature.services import jobs
from project import reporting
from project.log_lines import LineFormatter
from project.logs import logging_config
from tests import proof
from tests.integration.admin.confirming import sent_again
from tests.integration.fuzz.asgi import Answer, Site, Visit
from tests.integration.fuzz.conftest import Header, Visitors, rows, visitors
from tests.integration.fuzz.pages import forms_of
from tests.integration.fuzz.places import places
from tests.integration.fuzz.values import encoded, query
from tests.integration.privacy.personal_data import stored
from tests.integration.privacy.personal_data.planted import EVERYTHING, PLANTED, found_in, pieces
from tests.kept_reports import Kept, kept_reports

__all__ = ["rows", "visitors"]

pytestmark = pytest.mark.slow

PLACEHOLDER: Final = re.compile(r"\[(?:EMAIL|PHONE|CARD|IBAN|ID|IP|SECRET)_[0-9]+\]")

REDACTED: Final = {
    "aifeature_apitoken.name",
    "aifeature_attempt.settled_reason",
    "aifeature_controlchange.reason",
    "aifeature_featurecontrol.kill_reason",
    "aifeature_launch.note",
    "aifeature_modelcontrol.reason",
    "django_admin_log.change_message",
}
"""Columns that forms reach. Others may follow."""

PAGES: Final = (
    *("/accounts/login/", "/admin/login/", "/account/", "/f/summarize/"),
    "/admin/aifeature/featurecontrol/summarize/change/",
    "/admin/aifeature/featurecontrol/summarize/stop/",
    "/admin/aifeature/modelcontrol/{modelcontrol}/force_open/",
    "/admin/aifeature/rateoverride/{rateoverride}/lift/",
    "/admin/aifeature/accessblock/add/",
    "/admin/aifeature/launch/add/",
    "/admin/aifeature/launch/{launch}/withdraw/",
    "/admin/aifeature/apitoken/add/",
    "/admin/aifeature/job/{job}/requeue/",
    "/admin/aifeature/attempt/{attempt}/settle/",
    "/admin/auth/group/add/",
    "/admin/django_celery_beat/periodictask/{periodictask}/change/",
    "/admin/django_celery_beat/periodictask/{periodictask}/run_now/",
    "/admin/django_celery_beat/periodictask/{periodictask}/remove/",
)
"""Pages with a form that stores words. Names and addresses of accounts are the account's own."""

WORDS: Final = {"reason", "message", "note", "name", "username", "description"}
"""Fields that get each string. Other limited fields, such as one for a queue, get the first."""

VALUES: Final = {
    "/admin/django_celery_beat/periodictask/{periodictask}/change/": {
        **dict.fromkeys(("start_time_0", "start_time_1", "expires_0", "expires_1"), ""),
        **dict.fromkeys(("crontab", "solar", "clocked", "priority", "expire_seconds"), ""),
        **dict.fromkeys(("queue", "exchange", "routing_key"), ""),
        "args": "[]",
        "kwargs": "{}",
        "headers": "{}",
        "name": "tick",
        "regtask": "",
        "task": "control.sweep",
        "description": "Often.",
    },
    "/admin/aifeature/launch/add/": {
        "feature": "summarize",
        "starts_at_0": "2099-01-01",
        "starts_at_1": "10:00:00",
        "hours": "2",
        "factor": "3",
    },
}
"""Values that a valid form needs and that its page does not show."""

SEARCHES: Final = ("/jobs/", "/api/v1/jobs", "/admin/search/", "/admin/aifeature/job/", "/panel/")
AXES: Final = {"axes_accessattempt.username", "axes_accessattempt.user_agent"}
BROWSERS: Final = {b"user-agent", b"accept", b"accept-language", b"x-forwarded-for"}
"""Headers with which a sign-in is still tried."""

PARAMETERS: Final = ("q", "next", "term", "from", "_changelist_filters", "feature", "cursor", "why")
HEADERS: Final = (
    *("user-agent", "referer", "accept", "accept-language", "origin", "idempotency-key", "cookie"),
    *("x-forwarded-for", "x-request-id", "last-event-id", "hx-current-url", "authorization"),
)
BODIES: Final = (
    {"input": {"document": "", "language": EVERYTHING}},
    {"input": {EVERYTHING: EVERYTHING}},
    {"input": EVERYTHING, EVERYTHING: 1},
    [EVERYTHING],
)


class Stores:
    """The texts that each store has received since the beginning."""

    def __init__(self) -> None:
        self.leaks: dict[str, set[str]] = {}
        """Planted values by place."""
        self.redacted: set[str] = set()
        """Columns with a placeholder."""
        self.new: set[stored.Text] = set()
        self.lines = io.StringIO()
        self._before = stored.of_tables()
        self._writes = stored.writes()

    def look(self) -> None:
        """Search the new values of the tables that were written since the last time."""
        writes = stored.writes()
        written = [name for name in writes if writes[name] != self._writes.get(name)]
        self._writes = writes
        if not written:
            return
        new = stored.of_tables(written) - self._before
        self.new |= new
        for place, text in new:
            self._search(place, text)
            if PLACEHOLDER.search(text):
                self.redacted.add(place)

    def look_outside(self, reports: Kept) -> None:
        """Search what is not in the database."""
        self._search("log lines", self.lines.getvalue())
        self._search("error reports", reports.text)
        for key, text in stored.of_redis(django_settings.REDIS_URL):
            self._search(f"Redis {key}", text)

    def _search(self, place: str, text: str) -> None:
        if found := found_in(text):
            self.leaks.setdefault(place, set()).update(found)


@pytest.fixture
def reports() -> Iterator[Kept]:
    with kept_reports() as kept:
        yield kept


@pytest.fixture
def stores(reports: Kept, rows: list[Model]) -> Iterator[Stores]:
    """The stores as they are now. The lines of all loggers are kept as a deployment writes them."""
    found = Stores()
    handler = logging.StreamHandler(found.lines)
    handler.setFormatter(LineFormatter(logging_config("INFO")["formatters"]["line"]["fmt"]))
    root = logging.getLogger()
    before = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    yield found
    root.setLevel(before)
    root.removeHandler(handler)


@pytest.fixture
def site(stores: Stores) -> Site:
    return Site(before_undo=stores.look)


@pytest.fixture
def token(rows: list[Model]) -> Header:
    customer = User.objects.get(username="customer")
    _, text = ApiToken.issue(user_id=customer.pk, name="test")
    return (b"authorization", f"Bearer {text}".encode())


def post(site: Site, target: str, headers: list[Header], body: bytes, kind: str) -> Answer:
    length = (b"content-length", str(len(body)).encode())
    sent = [*headers, (b"content-type", kind.encode()), length]
    return site.visit(Visit(target.encode(), "POST", sent, body))


def post_form(
    site: Site, target: str, headers: list[Header], fields: list[tuple[str, str]]
) -> Answer:
    return post(site, target, headers, query(fields).encode(), "application/x-www-form-urlencoded")


def test_the_search_finds_each_value_in_each_store(db: None, rows: list[Model]) -> None:
    for each in PLANTED:
        for text in (each.sentence, json.dumps(each.sentence), encoded(each.sentence)):
            assert each.value in found_in(text)
    everything = [each.value for each in PLANTED]
    assert [value for piece in pieces(80) for value in found_in(piece)] == everything
    before = stored.writes()
    with connection.cursor() as cursor:
        cursor.execute("UPDATE aifeature_checkrun SET result = %s", [EVERYTHING])
    assert stored.writes()["aifeature_checkrun"] > before["aifeature_checkrun"]
    assert ("aifeature_checkrun.result", EVERYTHING) in stored.of_tables()
    assert ("aifeature_checkrun.result", EVERYTHING) in stored.of_tables(["aifeature_checkrun"])


def test_no_form_stores_it(
    site: Site, stores: Stores, visitors: Visitors, rows: list[Model], reports: Kept
) -> None:
    ids = {row._meta.model_name: quote(str(row.pk)) for row in rows}
    ids["job"] = str(Job.objects.get(status="failed").pk)
    for page in PAGES:
        headers = visitors["anonymous" if "/login/" in page else "boss"]
        path = page.format_map(ids)
        answer = site.visit(Visit(path.encode(), headers=headers))
        assert answer.status == HTTPStatus.OK, path
        for form in forms_of(path, answer.body.decode()):
            for name in form.free if form.method == "POST" else ():
                some = None if name in WORDS else 1
                for piece in islice(pieces(form.longest.get(name, 2_000)), some):
                    sent = {**dict(form.fields), **VALUES.get(page, {}), name: piece}
                    asked = post_form(site, form.action, headers, list(sent.items()))
                    if again := sent_again(asked.body.decode(errors="replace")).get("confirmed"):
                        sent["confirmed"] = again[0]
                        post_form(site, form.action, headers, list(sent.items()))
    stores.look_outside(reports)
    assert stores.leaks == {}
    assert stores.redacted >= REDACTED


def test_no_address_and_no_header_stores_it(
    site: Site, stores: Stores, visitors: Visitors, reports: Kept
) -> None:
    some = query([(name, EVERYTHING) for name in (*PARAMETERS, EVERYTHING)])
    for path in SEARCHES:
        assert site.visit(Visit(f"{path}?{some}".encode(), headers=visitors["boss"])).status
    for place in places():
        if place.holes:
            path = place.path([EVERYTHING] * len(place.holes))
            site.visit(Visit(path.encode(), headers=visitors["boss"]))
    for piece in pieces(150):
        site.visit(Visit(f"/{encoded(piece)}/?{encoded(piece)}".encode()))
    headers = [(name.encode(), EVERYTHING.encode()) for name in HEADERS]
    for path in ("/jobs/", "/api/v1/jobs", "/nowhere/"):
        site.visit(Visit(path.encode(), headers=headers))
    failed = query([("username", "customer"), ("password", EVERYTHING), ("x", EVERYTHING)])
    sent = [*visitors["anonymous"], *(each for each in headers if each[0] in BROWSERS)]
    kind = "application/x-www-form-urlencoded"
    post(site, f"/accounts/login/?next=/{encoded(EVERYTHING)}", sent, failed.encode(), kind)
    assert {place for place, _ in stores.new} >= AXES
    stores.look_outside(reports)
    assert stores.leaks == {}


def test_no_request_of_the_api_stores_it(
    site: Site, stores: Stores, token: Header, reports: Kept
) -> None:
    target = "/api/v1/features/summarize/jobs"
    good = json.dumps({"input": {"document": "The parcel was lost. We sent another."}}).encode()
    for body in (*(json.dumps(each).encode() for each in BODIES), EVERYTHING.encode(), b"{"):
        assert post(site, target, [token], body, "application/json").status in {400, 422}
    for key in pieces(200):
        own = (b"idempotency-key", key.encode("ascii", "ignore"))
        found = post(site, target, [token, own], good, "application/json").status
        assert found == HTTPStatus.ACCEPTED
    stores.look_outside(reports)
    assert stores.leaks == {}


def test_no_feedback_stores_it(site: Site, stores: Stores, token: Header, reports: Kept) -> None:
    failed = Job.objects.get(status="failed")
    _, own = ApiToken.issue(user_id=failed.user_id, name="test")
    headers = [(b"authorization", f"Bearer {own}".encode())]
    target = f"/api/v1/jobs/{failed.pk}"

    def status(tail: str, body: dict[str, Any]) -> int:
        text = json.dumps(body).encode()
        return post(site, f"{target}/{tail}", headers, text, "application/json").status

    for piece in pieces(2_000):
        assert status("feedback", {"rating": -1, "comment": piece}) == HTTPStatus.OK
    for tail in ("feedback", "signals", "outcomes"):
        wrong = {"rating": -1, "reasons": [EVERYTHING], "name": EVERYTHING}
        assert status(tail, wrong) == HTTPStatus.UNPROCESSABLE_ENTITY
    stores.look_outside(reports)
    assert stores.leaks == {}
    assert "aifeature_feedback.comment" in stores.redacted


def test_no_upload_stores_it(site: Site, stores: Stores, visitors: Visitors, reports: Kept) -> None:
    name = encoded(EVERYTHING)
    for text in ("The parcel was lost.", "\0"):
        body = (
            '--b\r\nContent-Disposition: form-data; name="in-document-file"; '
            f"filename*=utf-8''{name}.txt\r\nContent-Type: text/plain\r\n\r\n{text}\r\n--b--\r\n"
        )
        kind = "multipart/form-data; boundary=b"
        post(site, "/f/summarize/", visitors["boss"], body.encode(), kind)
    stores.look_outside(reports)
    assert stores.leaks == {}


def test_no_defect_reports_it(
    site: Site, stores: Stores, token: Header, reports: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        raise RuntimeError(EVERYTHING)

    monkeypatch.setattr(jobs, "submit", broken)
    for piece in pieces(150):
        target = f"/api/v1/features/{encoded(piece)}/jobs?q={encoded(piece)}"
        answer = post(site, target, [token], b'{"input": {}}', "application/json")
        assert answer.status == HTTPStatus.INTERNAL_SERVER_ERROR
    assert len(reports.sent) >= len(list(pieces(150)))
    stores.look_outside(reports)
    assert stores.leaks == {}


def test_no_unknown_address_is_reported() -> None:
    path = f"/{encoded(EVERYTHING)}/"
    event = {"transaction": path, "request": {"url": f"https://a.example{path}", "method": "GET"}}
    assert found_in(str(reporting.rebuilt(event, {}))) == []


def test_no_command_stores_it(stores: Stores, reports: Kept, capsys: Any) -> None:
    by = {"user": "boss", "reason": EVERYTHING, "yes": True}
    call_command("kill_switch", "stop", "summarize", **by)
    call_command("kill_switch", "change_reason", "summarize", **{**by, "reason": f"2 {EVERYTHING}"})
    stores.look()
    call_command("kill_switch", "release", "summarize", **by)
    call_command("create_token", "customer", name=EVERYTHING[:70])
    RateOverride.objects.update(reason=EVERYTHING)
    AccessBlock.objects.update(message=EVERYTHING[:300])
    activation = proof.activate("summarize")
    activation.pk, activation.reason = None, EVERYTHING
    activation.save(force_insert=True)
    stores.look()
    stores.look_outside(reports)
    assert stores.leaks == {}
    reasons = {"aifeature_featurecontrol.kill_reason", "aifeature_activation.reason"}
    reasons |= {"aifeature_rateoverride.reason", "aifeature_accessblock.message"}
    assert stores.redacted >= {*reasons, "aifeature_apitoken.name"}
