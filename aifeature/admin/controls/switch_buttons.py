"""Buttons that flip a kill switch, on the list of features and on the page of each."""

# ruff: noqa: ARG002 - Django calls these methods with more arguments than they use

from __future__ import annotations

from typing import Any, Final
from urllib.parse import urlsplit

from django.contrib import admin, messages
from django.contrib.admin.utils import quote, unquote
from django.http import Http404, HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.urls import reverse
from unfold.enums import ActionVariant

from aifeature.admin.common.dialog_page import FLIPPED
from aifeature.admin.common.dialogs import button
from aifeature.admin.common.names import title_of
from aifeature.admin.controls.switch_forms import (
    ChangeReasonForm,
    ReleaseForm,
    StopForm,
    change_reason_url,
)
from aifeature.admin.rollout.ramps import RampButtons
from aifeature.models import FeatureControl, KillMode
from aifeature.services.controls import switch
from aifeature.services.controls.switch_state import ALL, SwitchState

STOP: Final = "aifeature.stop_feature"
RELEASE: Final = "aifeature.release_feature"


class SwitchButtons(RampButtons):
    """Pulls and releases through `services.controls.switch`, each with its own permission.

    The list and the page of a feature show only buttons that have an effect. The theme's own
    buttons are the same for every row, in a menu that needs JavaScript.
    """

    actions_row: Any = (*RampButtons.actions_row, "stop", "change_reason", "release")

    def get_actions_row(self, request: HttpRequest) -> list[Any]:
        """Return none: `actions_row` only registers the addresses of the dialogs."""
        return []

    def get_list_display(self, request: HttpRequest) -> Any:
        """Add a column with the buttons that this visitor may press."""
        shown = super().get_list_display(request)
        if not (request.user.has_perm(STOP) or request.user.has_perm(RELEASE)):
            return shown

        @admin.display(description="stop or release")
        def flips(row: FeatureControl) -> str:
            state = SwitchState(row.feature, killed=row.killed, percent=row.release_percent)
            found = {"buttons": buttons(request, state)}
            return render_to_string("aifeature/admin/ask_buttons.html", found)

        return (*shown, flips)

    def has_stop_permission(self, request: HttpRequest, object_id: object = None) -> bool:
        return request.user.has_perm(STOP)

    def has_release_permission(self, request: HttpRequest, object_id: object = None) -> bool:
        return request.user.has_perm(RELEASE)

    @button(
        "Stop",
        permission="stop",
        title="Pull the kill switch",
        description="No job is accepted and no call is sent. Calls in flight are aborted within a"
        " second.",
        form=StopForm,
        icon="block",
        variant=ActionVariant.DANGER,
    )
    def stop(self, request: HttpRequest, form: StopForm, object_id: str) -> HttpResponse:
        slug = _known(object_id)
        mode = KillMode(form.cleaned_data["mode"])
        reason = form.cleaned_data["reason"]
        if switch.stop(slug, reason=reason, mode=mode, user_id=int(request.user.pk or 0)):
            text = f"{title_of(slug)} is stopped; its jobs are {_became(mode)}."
        else:
            text = (
                f"{title_of(slug)} was already stopped. Nothing was changed. To change the reason"
                " or what happens to the jobs, use Change reason."
            )
        self.message_user(request, text, messages.WARNING)
        return _stay(request, slug)

    @button(
        "Change reason",
        permission="stop",
        title="Change the reason for the stop",
        description="The kill switch stays pulled. Cancelled jobs do not come back.",
        form=ChangeReasonForm,
        icon="edit_note",
    )
    def change_reason(
        self, request: HttpRequest, form: ChangeReasonForm, object_id: str
    ) -> HttpResponse:
        slug = _known(object_id)
        mode = KillMode(form.cleaned_data["mode"])
        reason = form.cleaned_data["reason"]
        user_id = int(request.user.pk or 0)
        if switch.change_reason(slug, reason=reason, mode=mode, user_id=user_id):
            text = f"{title_of(slug)} stays stopped; its jobs are {_became(mode)}."
            self.message_user(request, text, messages.SUCCESS)
        else:
            text = f"{title_of(slug)} has been released in the meantime. Nothing was changed."
            self.message_user(request, text, messages.WARNING)
        return _stay(request, slug)

    @button(
        "Release",
        permission="release",
        title="Release the kill switch",
        description="The feature accepts jobs again from users that its stage admits.",
        form=ReleaseForm,
        icon="play_arrow",
    )
    def release(self, request: HttpRequest, form: ReleaseForm, object_id: str) -> HttpResponse:
        slug = _known(object_id)
        percent = form.cleaned_data["percent"]
        reason = form.cleaned_data["reason"]
        switch.release(slug, reason=reason, percent=percent, user_id=int(request.user.pk or 0))
        users = "all users" if percent == ALL else f"{percent} % of users"
        text = f"{title_of(slug)} is released for {users}."
        self.message_user(request, text, messages.SUCCESS)
        return _stay(request, slug)


def buttons(request: HttpRequest, state: SwitchState) -> list[dict[str, Any]]:
    """Return the buttons that have an effect on this switch and that this visitor may press."""
    found: list[dict[str, Any]] = []
    if request.user.has_perm(STOP):
        if state.killed:
            url = change_reason_url(state.slug)
            found.append({"text": "Change reason", "url": url, "icon": "edit_note"})
        else:
            url = stop_url(state.slug)
            found.append({"text": "Stop", "url": url, "icon": "block", "danger": True})
    if request.user.has_perm(RELEASE) and (state.killed or state.partial):
        url = release_url(state.slug)
        found.append({"text": "Release", "url": url, "icon": "play_arrow"})
    return found


def stop_url(slug: str) -> str:
    return reverse("admin:aifeature_featurecontrol_stop", args=(quote(slug),))


def release_url(slug: str) -> str:
    return reverse("admin:aifeature_featurecontrol_release", args=(quote(slug),))


def _became(mode: KillMode) -> str:
    return "held" if mode is KillMode.HOLD else "cancelled"


def _known(object_id: str) -> str:
    slug: str = unquote(object_id)
    if not switch.exists(slug):
        raise Http404
    return slug


def _stay(request: HttpRequest, slug: str) -> HttpResponse:
    """Reload the admin page on which the dialog was opened. htmx sends its address."""
    try:
        here = urlsplit(request.headers.get("HX-Current-URL", "")).path
    except ValueError:  # not an address
        here = ""
    known = here.startswith(reverse("admin:index"))
    where = here if known else reverse("admin:aifeature_featurecontrol_changelist")
    dialogs = {stop_url(slug), change_reason_url(slug), release_url(slug)}
    if where in dialogs:  # the dialog is a page of its own
        where = reverse("admin:aifeature_featurecontrol_change", args=(quote(slug),))
    request.META[FLIPPED] = where
    return HttpResponse(headers={"HX-Redirect": where})
