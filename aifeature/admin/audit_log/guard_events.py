"""The audit log of the guards: what they found, by user, feature, category and time."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from django.contrib import admin
from django.contrib.admin.utils import unquote
from django.contrib.auth import get_user_model
from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.http import urlencode
from django.utils.safestring import SafeString
from unfold.decorators import display

from aifeature.admin.audit_log import eval_case
from aifeature.admin.common.names import GUARD_COLOURS, title_of
from aifeature.admin.common.read_only import ChoiceFilter, FeatureFilter, ReadOnlyAdmin, as_uuid
from aifeature.admin.common.show import Labelled, content_column, moment, moment_column
from aifeature.guarding import Guard
from aifeature.models import GuardEvent
from aifeature.services.guards import audit
from aifeature.services.texts import references

DAYS: Final = 7
"""Days of the list of the most flagged users."""

MOST: Final = 5
"""Users of that list."""

_MATCHING_USERS: Final = 50
_CASE: Final = "aifeature_guardevent_case"


class GuardFilter(ChoiceFilter):
    title = "guard"
    parameter_name = "guard"

    def choose(self) -> Iterable[tuple[str, str]]:
        return [(guard.value, guard.value.replace("_", " ")) for guard in Guard]


class CategoryFilter(ChoiceFilter):
    title = "category"
    parameter_name = "category"

    def choose(self) -> Iterable[tuple[str, str]]:
        return [(name, name.replace("_", " ")) for name in audit.categories()]


@admin.register(GuardEvent)
class GuardEventAdmin(ReadOnlyAdmin):
    """Read-only. A row becomes a case of the feature's suite by one click."""

    list_display = (
        *("happened", "user", "feature", "found", "action_label", "stage", "times"),
        *("job_link", "case_link"),
    )
    list_display_links = ("happened",)
    list_filter = (FeatureFilter, GuardFilter, CategoryFilter, "action", "stage")
    date_hierarchy = "at"
    list_select_related = ("user",)
    list_before_template: Any = "aifeature/admin/most_flagged.html"
    wide_fields = ("evidence",)
    search_fields = ("user__username",)
    search_help_text = "The start of a user name, or a job's reference or ID."
    ordering = ("-at", "-id")
    fieldsets = (
        (
            None,
            {
                "fields": (
                    *("happened", "user", "feature", "job_link", "stage", "guard", "category"),
                    *("action_label", "times", "evidence_shown", "case_link"),
                )
            },
        ),
    )

    happened = moment_column("at", "when")
    evidence_shown = content_column("evidence", "evidence")

    @admin.display(description="found", ordering="category")
    def found(self, event: GuardEvent) -> str:
        return f"{event.guard.replace('_', ' ')}: {event.category.replace('_', ' ')}"

    @display(description="done", label=GUARD_COLOURS)
    def action_label(self, event: GuardEvent) -> Labelled:
        return Labelled(event.action, event.get_action_display())

    @admin.display(description="times", ordering="count")
    def times(self, event: GuardEvent) -> int:
        return event.count

    @admin.display(description="job")
    def job_link(self, event: GuardEvent) -> str:
        if event.job_id is None:
            return "-"
        url = reverse("admin:aifeature_job_change", args=(event.job_id,))
        short = str(event.job_id)[:8]
        return format_html('<a class="aif-link aif-mono" href="{}">{}</a>', url, short)

    @admin.display(description="eval case")
    def case_link(self, event: GuardEvent) -> str:
        url = reverse(f"admin:{_CASE}", args=(event.pk,))
        return format_html('<a class="aif-link aif-nowrap" href="{}">Prepare an eval case</a>', url)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        del request
        term = search_term.strip()
        if not term:
            return queryset, False
        if (job_id := as_uuid(term)) is not None:
            return queryset.filter(job=job_id), False
        users = get_user_model().objects.filter(username__istartswith=term)
        found = Q(user_id__in=users.values("pk")[:_MATCHING_USERS])
        if (ids := references.jobs(term)) is not None:
            first, last = ids
            found |= Q(job_id__gte=first, job_id__lte=last)
        return queryset.filter(found), False

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> Any:
        """Show the most flagged users above the list, unless it is searched or filtered."""
        more: dict[str, Any] = {}
        if not request.GET:
            more = {"flagged": most_flagged(), "flagged_days": DAYS}
        return super().changelist_view(request, {**more, **(extra_context or {})})

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.case)
        return [path("<path:object_id>/case/", view, name=_CASE), *super().get_urls()]

    def case(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Show a case for the feature's suite.

        Visitors who may not read jobs get the evidence instead of the input.

        Raises:
            PermissionDenied: The visitor may not view guard events.
            Http404: There is no such event, or its feature is no longer in the code.
        """
        if not self.has_view_permission(request):
            raise PermissionDenied
        event = self.get_object(request, unquote(object_id))
        if event is None:
            raise Http404
        may_read = request.user.has_perm("aifeature.view_job")
        stored = event.job.input if may_read and event.job else None
        prepared = eval_case.prepare(event, stored if isinstance(stored, dict) else None)
        if prepared is None:
            raise Http404
        context = {
            **self.admin_site.each_context(request),
            "title": "Prepare an eval case",
            "event": event,
            "event_url": reverse("admin:aifeature_guardevent_change", args=(event.pk,)),
            "found": self.found(event),
            "feature": title_of(event.feature),
            "may_read": may_read,
            "prepared": prepared,
            "templates": eval_case.TEMPLATES,
        }
        return render(request, "aifeature/admin/guard_case.html", context)


def most_flagged() -> dict[str, Any]:
    """Return the users with the most flagged requests, as headers and rows of a table."""
    found = audit.most_flagged(days=DAYS, most=MOST)
    return {
        "headers": ["user", "flagged requests", "features", "last", "throttle"],
        "rows": [
            [
                _of_user(each),
                each.requests,
                ", ".join(title_of(slug) for slug in each.features),
                moment(each.last),
                f"until {each.throttled_until:%H:%M} UTC" if each.throttled_until else "-",
            ]
            for each in found
        ],
    }


def list_url() -> str:
    return reverse("admin:aifeature_guardevent_changelist")


def _of_user(flagged: audit.Flagged) -> SafeString:
    url = f"{list_url()}?{urlencode({'q': flagged.name})}"
    return format_html('<a class="aif-link" href="{}">{}</a>', url, flagged.name)
