"""The buttons Stop and Release, on the list of features and on the page of each."""

# ruff: noqa: ARG002 - Django calls these methods with more than they need

from __future__ import annotations

from typing import Any, Final
from urllib.parse import urlsplit

from django.contrib import messages
from django.contrib.admin.utils import quote, unquote
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse
from unfold.enums import ActionVariant

from aifeature.admin.base import ModelAdmin
from aifeature.admin.dialogs import button
from aifeature.admin.names import title_of
from aifeature.admin.switch_forms import ReleaseForm, StopForm
from aifeature.admin.switch_page import FLIPPED, also_alone
from aifeature.models import KillMode
from aifeature.services import switch
from aifeature.services.switch_state import ALL

STOP: Final = "aifeature.stop_feature"
RELEASE: Final = "aifeature.release_feature"


class SwitchButtons(ModelAdmin):
    """Pulls and releases through `services.switch`, each with a permission of its own.

    The page of a feature has its own buttons: the theme hides its own in a menu on a phone, where
    on-call may well be.
    """

    actions_row: Any = ("stop", "release")

    def has_stop_permission(self, request: HttpRequest, object_id: object = None) -> bool:
        """Who may pull a kill switch."""
        return request.user.has_perm(STOP)

    def has_release_permission(self, request: HttpRequest, object_id: object = None) -> bool:
        """Who may release a kill switch."""
        return request.user.has_perm(RELEASE)

    @also_alone
    @button(
        "Stop",
        permission="stop",
        title="Pull the kill switch",
        description="Nothing is accepted or sent from now on; calls in flight are aborted within"
        " a second.",
        form=StopForm,
        icon="block",
        variant=ActionVariant.DANGER,
    )
    def stop(self, request: HttpRequest, form: StopForm, object_id: str) -> HttpResponse:
        slug = _known(object_id)
        mode = KillMode(form.cleaned_data["mode"])
        reason = form.cleaned_data["reason"]
        switch.stop(slug, reason=reason, mode=mode, user_id=int(request.user.pk or 0))
        became = "held" if mode is KillMode.HOLD else "cancelled"
        text = f"{title_of(slug)} is stopped; its jobs are {became}."
        self.message_user(request, text, messages.WARNING)
        return _stay(request, slug)

    @also_alone
    @button(
        "Release",
        permission="release",
        title="Release the kill switch",
        description="It answers again, for those whom its stage lets in.",
        form=ReleaseForm,
        icon="play_arrow",
    )
    def release(self, request: HttpRequest, form: ReleaseForm, object_id: str) -> HttpResponse:
        slug = _known(object_id)
        percent = form.cleaned_data["percent"]
        reason = form.cleaned_data["reason"]
        switch.release(slug, reason=reason, percent=percent, user_id=int(request.user.pk or 0))
        whom = "all users" if percent == ALL else f"{percent} % of users"
        text = f"{title_of(slug)} is released for {whom}."
        self.message_user(request, text, messages.SUCCESS)
        return _stay(request, slug)


def stop_url(slug: str) -> str:
    """Where the dialog is that pulls this switch."""
    return reverse("admin:aifeature_featurecontrol_stop", args=(quote(slug),))


def release_url(slug: str) -> str:
    """Where the dialog is that releases this switch."""
    return reverse("admin:aifeature_featurecontrol_release", args=(quote(slug),))


def _known(object_id: str) -> str:
    slug: str = unquote(object_id)
    if not switch.exists(slug):
        raise Http404
    return slug


def _stay(request: HttpRequest, slug: str) -> HttpResponse:
    """Load again the page of admin on which the dialog was opened, which htmx names."""
    try:
        here = urlsplit(request.headers.get("HX-Current-URL", "")).path
    except ValueError:  # it is no address
        here = ""
    known = here.startswith(reverse("admin:index"))
    where = here if known else reverse("admin:aifeature_featurecontrol_changelist")
    if where in {stop_url(slug), release_url(slug)}:  # the dialog is a page of its own
        where = reverse("admin:aifeature_featurecontrol_change", args=(quote(slug),))
    request.META[FLIPPED] = where
    return HttpResponse(headers={"HX-Redirect": where})
