"""The buttons that flip a kill switch, on the list of features and on the page of each."""

# ruff: noqa: ARG002 - Django calls these methods with more than they need

from __future__ import annotations

from typing import Any, Final
from urllib.parse import urlsplit

from django.contrib import admin, messages
from django.contrib.admin.utils import quote, unquote
from django.http import Http404, HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.urls import reverse
from unfold.enums import ActionVariant

from aifeature.admin.common.base import ModelAdmin
from aifeature.admin.common.dialog_page import FLIPPED
from aifeature.admin.common.dialogs import button
from aifeature.admin.common.names import title_of
from aifeature.admin.controls.switch_forms import (
    ChangeReasonForm,
    ReleaseForm,
    StopForm,
    change_reason_url,
)
from aifeature.models import FeatureControl, KillMode
from aifeature.services.controls import switch
from aifeature.services.controls.switch_state import ALL, SwitchState

STOP: Final = "aifeature.stop_feature"
RELEASE: Final = "aifeature.release_feature"


class SwitchButtons(ModelAdmin):
    """Pulls and releases through `services.controls.switch`, each with a permission of its own.

    The list and the page of a feature have their own buttons, and only those that do something: the
    theme shows the same ones for each row, and hides them in a menu that needs JavaScript.
    """

    actions_row: Any = ("stop", "change_reason", "release")

    def get_actions_row(self, request: HttpRequest) -> list[Any]:
        """Return none: `actions_row` is there for the addresses of the dialogs."""
        return []

    def get_list_display(self, request: HttpRequest) -> Any:
        """The columns, and one with the buttons that this visitor may press."""
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
        """Who may pull a kill switch, and say why it is pulled."""
        return request.user.has_perm(STOP)

    def has_release_permission(self, request: HttpRequest, object_id: object = None) -> bool:
        """Who may release a kill switch."""
        return request.user.has_perm(RELEASE)

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
        if switch.stop(slug, reason=reason, mode=mode, user_id=int(request.user.pk or 0)):
            text = f"{title_of(slug)} is stopped; its jobs are {_became(mode)}."
        else:
            text = (
                f"{title_of(slug)} was stopped already: nothing was changed. To change the reason"
                " or what becomes of the jobs, use Change reason."
            )
        self.message_user(request, text, messages.WARNING)
        return _stay(request, slug)

    @button(
        "Change reason",
        permission="stop",
        title="Change why it is stopped",
        description="It stays stopped. Jobs that are cancelled do not come back.",
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
            text = f"{title_of(slug)} was released meanwhile: nothing was changed."
            self.message_user(request, text, messages.WARNING)
        return _stay(request, slug)

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


def buttons(request: HttpRequest, state: SwitchState) -> list[dict[str, Any]]:
    """The buttons that change something about this switch, of those this visitor may press."""
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
    """Where the dialog is that pulls this switch."""
    return reverse("admin:aifeature_featurecontrol_stop", args=(quote(slug),))


def release_url(slug: str) -> str:
    """Where the dialog is that releases this switch."""
    return reverse("admin:aifeature_featurecontrol_release", args=(quote(slug),))


def _became(mode: KillMode) -> str:
    return "held" if mode is KillMode.HOLD else "cancelled"


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
    dialogs = {stop_url(slug), change_reason_url(slug), release_url(slug)}
    if where in dialogs:  # it is a page of its own
        where = reverse("admin:aifeature_featurecontrol_change", args=(quote(slug),))
    request.META[FLIPPED] = where
    return HttpResponse(headers={"HX-Redirect": where})
