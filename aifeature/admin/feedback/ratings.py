"""Ratings of answers, and the page of what users think of each feature."""

# ruff: noqa: ARG002 - Django calls these methods with more arguments than they use

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.text import Truncator
from unfold.decorators import display

from aifeature import prompts, registry
from aifeature.admin.common.read_only import ChoiceFilter, FeatureFilter, ReadOnlyAdmin, as_uuid
from aifeature.admin.common.show import Labelled, content_column, moment_column
from aifeature.admin.feedback import figures_page
from aifeature.models import Feedback
from aifeature.services.feedback import reasons
from aifeature.services.texts import references

PAGE: Final = "aifeature_feedback_figures"
READS_JOBS: Final = "aifeature.view_job"
"""The permission for the content of jobs, which a comment and an answer are."""

_CONTENT: Final = ("comment_shown", "answer_shown")
_SHORT: Final = 80


class RatingFilter(ChoiceFilter):
    title = "rating"
    parameter_name = "rating"

    def choose(self) -> Iterable[tuple[str, str]]:
        return [(str(reasons.DOWN), "Down"), (str(reasons.UP), "Up")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        chosen = self.value()
        if chosen is None:
            return queryset
        known = {str(each): each for each in reasons.OF}
        return queryset.filter(rating=known[chosen]) if chosen in known else queryset.none()


class ReasonFilter(ChoiceFilter):
    title = "reason"
    parameter_name = "reason"

    def choose(self) -> Iterable[tuple[str, str]]:
        return reasons.ALL.items()

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        chosen = self.value()
        return queryset if chosen is None else queryset.filter(reasons__contains=[chosen])


class VersionFilter(ChoiceFilter):
    title = "prompt version"
    parameter_name = "prompt_version"

    def choose(self) -> Iterable[tuple[str, str]]:
        found = {name for slug in registry.all_features() for name in prompts.versions(slug)}
        return [(name, name) for name in sorted(found)]


@admin.register(Feedback)
class FeedbackAdmin(ReadOnlyAdmin):
    """Read-only. Comments and answers need the permission to view jobs."""

    list_display: Any = (
        "rated_at",
        "rating_label",
        "feature",
        "why",
        "version",
        "job_link",
        "user",
    )
    list_display_links = ("rated_at",)
    list_filter = (FeatureFilter, RatingFilter, ReasonFilter, VersionFilter)
    date_hierarchy = "changed_at"
    list_select_related = ("user",)
    list_before_template: Any = "aifeature/admin/feedback_link.html"
    wide_fields = ("answer",)
    search_fields = ("comment",)
    search_help_text = "Words of a comment, or a job's reference or ID."
    ordering = ("-changed_at", "-id")
    fieldsets = (
        (
            None,
            {
                "fields": (
                    *("rated_at", "first_rated_at", "rating_label", "first_label", "why"),
                    *("feature", "version", "model", "job_link", "user", *_CONTENT),
                )
            },
        ),
    )

    rated_at = moment_column("changed_at", "when")
    first_rated_at = moment_column("created_at", "first rated")
    comment_shown = content_column("comment", "comment")
    answer_shown = content_column("answer", "answer at the first rating")

    @display(description="rating", label={"up": "success", "down": "danger"})
    def rating_label(self, row: Feedback) -> Labelled:
        return _label(row.rating)

    @display(description="first rating", label={"up": "success", "down": "danger"})
    def first_label(self, row: Feedback) -> Labelled:
        return _label(row.first_rating)

    @admin.display(description="reasons")
    def why(self, row: Feedback) -> str:
        return ", ".join(reasons.ALL.get(slug, slug) for slug in row.reasons) or "-"

    @admin.display(description="comment")
    def short_comment(self, row: Feedback) -> str:
        return Truncator(row.comment).chars(_SHORT) or "-"

    @admin.display(description="version", ordering="prompt_version")
    def version(self, row: Feedback) -> str:
        return row.prompt_version or "-"

    @admin.display(description="job")
    def job_link(self, row: Feedback) -> str:
        url = reverse("admin:aifeature_job_change", args=(row.job_id,))
        short = str(row.job_id)[:8]
        return format_html('<a class="aif-link aif-mono" href="{}">{}</a>', url, short)

    def get_list_display(self, request: HttpRequest) -> Any:
        when, rating, feature, why, *rest = self.list_display
        if not request.user.has_perm(READS_JOBS):
            return self.list_display
        return (when, rating, feature, why, "short_comment", *rest)

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """Return the fields that this visitor may read."""
        if request.user.has_perm(READS_JOBS):
            return self.fieldsets
        return [
            (title, {"fields": [name for name in part["fields"] if name not in _CONTENT]})
            for title, part in self.fieldsets
        ]

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Search by job, and in comments if the visitor may read them."""
        term = search_term.strip()
        if not term:
            return queryset, False
        if (job_id := as_uuid(term)) is not None:
            return queryset.filter(job=job_id), False
        if (ids := references.jobs(term)) is not None:
            return queryset.filter(job_id__range=ids), False
        if not request.user.has_perm(READS_JOBS):
            return queryset.none(), False
        return queryset.filter(comment__icontains=term), False

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.figures)
        return [path("figures/", view, name=PAGE), *super().get_urls()]

    def figures(self, request: HttpRequest) -> HttpResponse:
        """Show what users think of a feature, without words of a person.

        Raises:
            PermissionDenied: The visitor may not view feedback.
        """
        if not self.has_view_permission(request):
            raise PermissionDenied
        context = {
            **self.admin_site.each_context(request),
            "title": "What users think",
            "list_url": reverse("admin:aifeature_feedback_changelist"),
            **figures_page.context(request.GET),
        }
        return render(request, "aifeature/admin/feedback_figures.html", context)


def _label(rating: int) -> Labelled:
    return Labelled("up", "Up") if rating == reasons.UP else Labelled("down", "Down")
