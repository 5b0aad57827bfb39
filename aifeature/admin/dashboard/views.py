"""The page of the dashboard, its part that a script fetches again, and a chart as CSV."""

from __future__ import annotations

from django.contrib import admin
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from aifeature.admin.dashboard import csv_file, page


@require_safe
def dashboard(request: HttpRequest) -> HttpResponse:
    """Show the dashboard."""
    request.current_app = admin.site.name
    context = {
        **admin.site.each_context(request),
        "title": "Dashboard",
        **page.context(request),
    }
    return render(request, "aifeature/admin/dashboard/page.html", context)


@require_safe
def live(request: HttpRequest) -> HttpResponse:
    """Return what changes while the page is open, without the frame of admin."""
    return render(request, "aifeature/admin/dashboard/content.html", page.context(request))


@require_safe
def chart_csv(request: HttpRequest, chart: str) -> HttpResponse:
    """Return the table of a chart as CSV.

    Raises:
        Http404: There is no such chart, or the visitor may not see it.
    """
    found = next((each for each in page.charts(request) if each.slug == chart), None)
    if found is None:
        raise Http404
    answer = HttpResponse(csv_file.text(found), content_type="text/csv; charset=utf-8")
    answer["Content-Disposition"] = f'attachment; filename="{found.slug}.csv"'
    return answer
