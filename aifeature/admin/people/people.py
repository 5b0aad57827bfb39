"""The users who spend most, are flagged, cancel and run into limits, and the remedies."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from django.contrib import admin
from django.contrib.auth import get_user_model
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest
from django.shortcuts import render
from django.urls import NoReverseMatch, reverse
from django.utils.http import urlencode

from aifeature import registry
from aifeature.admin.common.names import title_of
from aifeature.admin.common.read_only import ReadOnlyAdmin
from aifeature.admin.common.show import money, utc
from aifeature.admin.controls.cards import may_see
from aifeature.models import AccessBlock, RateOverride, RefusedSubmissions
from aifeature.services.monitoring import people
from aifeature.services.monitoring.people import DAYS, By, Person

_COLUMNS: Final[Mapping[By, tuple[str, str]]] = {
    By.SPEND: ("Own spend", "Calls that ended, and what the user's own cancellations cost."),
    By.FLAGS: ("Flagged requests", "A guard found an order to the model, or foul language."),
    By.REFUSED: ("Refused inputs", "A guard refused the request before it became a job."),
    By.UNANSWERED: ("No answer", "A model declined, or a guard withheld the answer."),
    By.CANCELS: ("Cancelled", "By the user."),
    By.LIMITED: ("Over a limit", "Submissions over the user's rate or budget."),
    By.BLOCKED: ("While blocked", "Submissions to a feature from which the user is blocked."),
}


@admin.register(RefusedSubmissions)
class PeopleAdmin(ReadOnlyAdmin):
    """The list is the page about people."""

    # Without the user, whose name needs a permission of its own.
    fieldsets = ((None, {"fields": ("feature", "day", "kind", "count")}),)

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> Any:
        """Show the users with the highest figure.

        Raises:
            PermissionDenied: The visitor may not view the counts.
        """
        if not self.has_view_permission(request):
            raise PermissionDenied
        slug = _one_of(request, "feature", ["", *registry.offered()])
        days = int(_one_of(request, "days", [str(each) for each in DAYS]))
        by = By(_one_of(request, "by", [each.value for each in By]))
        found = people.top(slug=slug, days=days, by=by)
        context = {
            **self.admin_site.each_context(request),
            **(extra_context or {}),
            "title": "People",
            "form": _choices(slug, days, by),
            "about": _COLUMNS[by],
            "people": [_row(request, each, slug, by) for each in found],
        }
        return render(request, "aifeature/admin/people.html", context)


def _one_of(request: HttpRequest, name: str, choices: list[str]) -> str:
    """Return a value of the address, or the first choice."""
    value = request.GET.get(name, "")
    return value if value in choices else choices[0]


def _choices(slug: str, days: int, by: By) -> list[dict[str, Any]]:
    """Return the select fields above the table: name, label, and value, text and state of each."""
    features = [("", "Every feature"), *((s, f.title) for s, f in registry.offered().items())]
    spans = [(str(each), "Today" if each == 1 else f"{each} days") for each in DAYS]
    columns = [(each.value, _COLUMNS[each][0]) for each in By]
    return [
        {"name": name, "label": label, "options": [(v, t, v == str(now)) for v, t in options]}
        for name, label, options, now in (
            ("feature", "Feature", features, slug),
            ("days", "Time, in UTC days", spans, days),
            ("by", "Highest", columns, by.value),
        )
    ]


def _row(request: HttpRequest, person: Person, slug: str, by: By) -> dict[str, Any]:
    may_read_names = request.user.has_perm(f"{get_user_model()._meta.app_label}.view_user")  # noqa: SLF001 (public in Django)
    return {
        "name": person.name if may_read_names else f"#{person.user_id}",
        "figures": [
            (_COLUMNS[each][0], money(n) if each is By.SPEND else f"{n:,}", each is by, bool(n))
            for each, n in person.figures.items()
        ],
        "force": [
            *_with_reasons(_blocks(person.blocks), shown=may_see(request, "accessblock")),
            *_with_reasons(_overrides(person.overrides), shown=may_see(request, "rateoverride")),
        ],
        "reads": person.reads,
        "links": list(_links(request, person, slug, may_search=may_read_names)),
        "buttons": list(_buttons(request, person, slug)),
    }


def _links(
    request: HttpRequest, person: Person, slug: str, *, may_search: bool
) -> Iterator[tuple[str, str]]:
    """Yield text and address of the lists about the user. They are searched by name."""
    if not may_search:
        return
    query = {"q": person.name, **({"feature": slug} if slug else {})}
    for model, text in (("job", "Jobs"), ("guardevent", "Guard events")):
        if request.user.has_perm(f"aifeature.view_{model}"):
            yield text, f"{reverse(f'admin:aifeature_{model}_changelist')}?{urlencode(query)}"


def _buttons(request: HttpRequest, person: Person, slug: str) -> Iterator[tuple[str, str, str]]:
    """Yield text, icon and address of the forms for a limit, with the user filled in."""
    query = urlencode({"user": person.user_id, "feature": slug})
    for model, text, icon in (
        ("rateoverride", "Throttle", "speed"),
        ("accessblock", "Block", "block"),
    ):
        if request.user.has_perm(f"aifeature.add_{model}"):
            try:
                yield text, icon, f"{reverse(f'admin:aifeature_{model}_add')}?{query}"
            except NoReverseMatch:  # a site may leave out a page of admin
                continue


def _with_reasons(
    rows: Iterator[tuple[str, str]], *, shown: bool
) -> Iterator[tuple[str, str | None]]:
    """Yield text and reason of each row, and None for a reason that the visitor may not read."""
    for what, reason in rows:
        yield what, reason if shown else None


def _blocks(blocks: tuple[AccessBlock, ...]) -> Iterator[tuple[str, str]]:
    for block in blocks:
        yield f"Blocked from {_where(block.feature)}{_until(block.expires_at)}", block.reason


def _overrides(overrides: tuple[RateOverride, ...]) -> Iterator[tuple[str, str]]:
    for row in overrides:
        what = "Throttled by a check" if row.check_name else "Own rates"
        per_minute = row.requests_per_minute
        rates = (
            (None if per_minute is None else f"{per_minute.normalize():f}", "requests a minute"),
            (row.tokens_per_minute, "tokens a minute"),
            (row.in_flight, "calls at once"),
        )
        each = ", ".join(f"{n} {unit}" for n, unit in rates if n is not None)
        yield f"{what} in {_where(row.feature)}{_until(row.expires_at)}: {each}", row.reason


def _where(slug: str) -> str:
    return title_of(slug) if slug else "every feature"


def _until(at: Any) -> str:
    return f" until {utc(at)}" if at else ""
