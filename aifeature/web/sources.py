"""The page with the sections that a feature's answers cite."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, cast

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.safestring import SafeString, mark_safe
from django.views.decorators.http import require_safe
from markdown_it import MarkdownIt

from aifeature.services import jobs
from aifeature.services.jobs.refusals import AccessBlocked, NotFound
from aifeature.web import citations
from aifeature.web.sign_in import signed_in

if TYPE_CHECKING:
    from django.contrib.auth.models import User

_MARKDOWN = MarkdownIt("commonmark", {"html": False})


@require_safe
@signed_in
def sources_page(request: HttpRequest, slug: str) -> HttpResponse:
    """Show all sections. A citation links to one of them.

    Raises:
        Http404: The user may not use such a feature, or it cites nothing.
    """
    try:
        feature = jobs.visible_feature(user=cast("User", request.user), slug=slug)
    except (NotFound, AccessBlocked):
        raise Http404 from None
    if feature.sources is None:
        raise Http404
    by_group = groupby(citations.sources_of(feature).values(), key=lambda source: source.group)
    groups = [
        (title, [(source, _html(source.text)) for source in found]) for title, found in by_group
    ]
    return render(request, "aifeature/sources.html", {"feature": feature, "groups": groups})


def _html(text: str) -> SafeString:
    """Return the HTML of a section: a file of the feature. HTML in it is escaped."""
    html: SafeString = mark_safe(_MARKDOWN.render(text))  # noqa: S308 (escaped)
    return html
