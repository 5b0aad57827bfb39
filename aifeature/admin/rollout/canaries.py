"""Canaries: the list, the page of each one, and its dialogs."""

# ruff: noqa: ARG002 - Django calls these methods with more arguments than they use

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

from django.contrib import admin, messages
from django.contrib.admin.utils import quote, unquote
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from unfold.decorators import display
from unfold.enums import ActionVariant

from aifeature.admin.common.dialogs import ReasonForm, button, done
from aifeature.admin.common.names import title_of
from aifeature.admin.common.read_only import FeatureFilter, ReadOnlyAdmin
from aifeature.admin.common.show import Labelled, moment_column
from aifeature.admin.rollout import canary_page
from aifeature.admin.rollout.canary_forms import CanaryForm, ShareForm, StartForm
from aifeature.models import Canary
from aifeature.services.rollout import canaries
from aifeature.services.rollout.canaries import CanaryRefusedError


@admin.register(Canary)
class CanaryAdmin(ReadOnlyAdmin):
    """All canaries, open and ended. Only the dialogs change one."""

    list_display = ("name", "state_label", "compared_with", "started", "ended")
    list_display_links = ("name",)
    list_filter = (FeatureFilter, "state")
    wide_fields = ("figures",)
    actions_row: Any = ("start", "share", "hold", "go_on", "promote", "stop")

    started = moment_column("created_at", "started")
    ended = moment_column("ended_at", "ended")

    class Media:
        css: ClassVar = {"all": ["aifeature/admin.css"]}

    @admin.display(description="candidate")
    def name(self, row: Canary) -> str:
        return f"{title_of(row.feature)} {row.version}"

    @display(description="state", label=canary_page.COLOURS)
    def state_label(self, row: Canary) -> Labelled:
        return Labelled(row.state, row.get_state_display())

    @admin.display(description="compared with")
    def compared_with(self, row: Canary) -> str:
        return row.live_version

    def get_actions_row(self, request: HttpRequest) -> list[Any]:
        """Return none: `actions_row` only registers the addresses of the dialogs."""
        return []

    def has_activate_permission(self, request: HttpRequest, object_id: object = None) -> bool:
        return request.user.has_perm(canary_page.ACTIVATE)

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: Any = None,
    ) -> Any:
        """Show one canary.

        Raises:
            Http404: There is no such canary.
            PermissionDenied: The visitor may not view canaries, or wants to edit or add one.
        """
        if object_id is None or request.method == "POST":
            raise PermissionDenied
        canary = self.get_object(request, unquote(object_id))
        if not self.has_view_permission(request, canary):
            raise PermissionDenied
        if canary is None:
            raise Http404
        context = {
            **self.admin_site.each_context(request),
            **canary_page.context(request, canary),
            **(extra_context or {}),
        }
        return render(request, "aifeature/admin/canary.html", context)

    @button(
        "Start",
        permission="activate",
        title="Start a canary",
        description="A share of the users gets the candidate from their next request on. The check"
        " compares it with the live version every minute, and rolls it back by itself.",
        form=StartForm,
        icon="experiment",
    )
    def start(self, request: HttpRequest, form: StartForm, object_id: str) -> HttpResponse:
        values = form.cleaned_data
        with _refusals():
            canary = canaries.start(
                form.feature.slug,
                values["version"],
                percent=values["percent"],
                reason=values["reason"],
                user_id=int(request.user.pk or 0),
                promotes=values["promotes"],
                latency_limit_ms=int(1000 * values["latency_limit_s"]),
            )
        return self._done(request, canary.pk, f"{canary.version} runs as a canary.")

    @button(
        "Change share",
        permission="activate",
        title="Change the share",
        description="Users who change to the other version count again from now on.",
        form=ShareForm,
        icon="percent",
    )
    def share(self, request: HttpRequest, form: ShareForm, object_id: str) -> HttpResponse:
        percent, by = form.cleaned_data["percent"], _by(request, form)
        with _refusals():
            canaries.share(form.canary.pk, percent, **by)
        return self._done(request, object_id, f"{percent} % of users get the candidate.")

    @button(
        "Hold",
        permission="activate",
        title="Hold the canary",
        description="It stays at its share, is not promoted, and is still rolled back by its"
        " figures.",
        form=CanaryForm,
        icon="pause",
    )
    def hold(self, request: HttpRequest, form: CanaryForm, object_id: str) -> HttpResponse:
        with _refusals():
            canaries.hold(form.canary.pk, **_by(request, form))
        return self._done(request, object_id, "The canary is held.")

    @button(
        "Continue",
        permission="activate",
        title="Continue the canary",
        description="It may be promoted again.",
        form=CanaryForm,
        icon="play_arrow",
    )
    def go_on(self, request: HttpRequest, form: CanaryForm, object_id: str) -> HttpResponse:
        with _refusals():
            canaries.go_on(form.canary.pk, **_by(request, form))
        return self._done(request, object_id, "The canary goes on.")

    @button(
        "Promote",
        permission="activate",
        title="Make the candidate live",
        description="All users get it from their next request on, if its figures permit it.",
        form=CanaryForm,
        icon="rocket_launch",
    )
    def promote(self, request: HttpRequest, form: CanaryForm, object_id: str) -> HttpResponse:
        with _refusals():
            canaries.promote(form.canary.pk, **_by(request, form))
        return self._done(request, object_id, "The candidate is live.")

    @button(
        "Stop",
        permission="activate",
        title="Stop the canary",
        description="All users get the live version from their next request on.",
        form=CanaryForm,
        icon="stop_circle",
        variant=ActionVariant.DANGER,
    )
    def stop(self, request: HttpRequest, form: CanaryForm, object_id: str) -> HttpResponse:
        with _refusals():
            canaries.stop(form.canary.pk, **_by(request, form))
        return self._done(request, object_id, "The canary is stopped.")

    def _done(self, request: HttpRequest, pk: object, text: str) -> HttpResponse:
        self.message_user(request, text, messages.SUCCESS)
        return done("admin:aifeature_canary_change", quote(str(pk)))


def _by(request: HttpRequest, form: ReasonForm) -> dict[str, Any]:
    return {"reason": form.cleaned_data["reason"], "user_id": int(request.user.pk or 0)}


@contextmanager
def _refusals() -> Iterator[None]:
    """Turn a refusal into an error of the dialog."""
    try:
        yield
    except CanaryRefusedError as error:
        raise ValidationError(str(error)) from None
