"""Buttons that activate a prompt, roll it back, and override the gate."""

# ruff: noqa: ARG002 - Django calls these methods with more arguments than they use

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from django.contrib import messages
from django.contrib.admin.utils import quote
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.http import urlencode
from unfold.enums import ActionVariant

from aifeature.admin.common.dialogs import button, done
from aifeature.admin.common.show import utc
from aifeature.admin.controls.prompt_forms import (
    ActivateForm,
    ApproveForm,
    EndForm,
    OverrideForm,
    RollBackForm,
)
from aifeature.admin.controls.switch_buttons import SwitchButtons
from aifeature.models import Activation
from aifeature.services.promotion import RefusedError, activations, standing
from aifeature.services.promotion.standing import Standing, Version

ACTIVATE: Final = "aifeature.activate_prompt"
OVERRIDE: Final = "aifeature.override_prompt"


class PromptButtons(SwitchButtons):
    """Dialogs of the page of prompts. The database decides, and a refusal keeps the input."""

    actions_row: Any = (
        *SwitchButtons.actions_row,
        *("activate", "roll_back", "override", "approve", "end_override"),
    )

    def has_activate_permission(self, request: HttpRequest, object_id: object = None) -> bool:
        return request.user.has_perm(ACTIVATE)

    def has_override_permission(self, request: HttpRequest, object_id: object = None) -> bool:
        return request.user.has_perm(OVERRIDE)

    @button(
        "Activate",
        permission="activate",
        title="Activate a version",
        description="All users that the stage admits get it from their next request on.",
        form=ActivateForm,
        icon="rocket_launch",
    )
    def activate(self, request: HttpRequest, form: ActivateForm, object_id: str) -> HttpResponse:
        values = form.cleaned_data
        with _refusals():
            activations.activate(
                form.feature.slug,
                values["version"],
                reason=values["reason"],
                user_id=request.user.pk,
                seen=values["row"],
            )
        return self._done(request, form.feature.slug, f"{values['version']} is live.")

    @button(
        "Roll back",
        permission="activate",
        title="Roll back",
        description="All users that the stage admits get the earlier version from their next"
        " request on.",
        form=RollBackForm,
        icon="undo",
        variant=ActionVariant.DANGER,
    )
    def roll_back(self, request: HttpRequest, form: RollBackForm, object_id: str) -> HttpResponse:
        values = form.cleaned_data
        with _refusals():
            row = activations.roll_back(
                form.feature.slug,
                reason=values["reason"],
                user_id=request.user.pk,
                seen=values["row"],
            )
        return self._done(request, form.feature.slug, f"{row.version} is live again.")

    @button(
        "Request override",
        permission="override",
        title="Request an override",
        description="For emergencies: a version without evidence becomes live for some hours, when"
        " a second person approves it within a day. Then the last good version is back.",
        form=OverrideForm,
        icon="gpp_maybe",
    )
    def override(self, request: HttpRequest, form: OverrideForm, object_id: str) -> HttpResponse:
        values = form.cleaned_data
        with _refusals():
            activations.request_override(
                form.feature.slug,
                values["version"],
                hours=values["hours"],
                reason=values["reason"],
                user_id=int(request.user.pk or 0),
            )
        text = "The override is requested. Another person must approve it within 24 hours."
        return self._done(request, form.feature.slug, text)

    @button(
        "Approve override",
        permission="override",
        title="Approve the override",
        description="The version becomes live without evidence, and on-call is alerted.",
        form=ApproveForm,
        icon="how_to_reg",
        variant=ActionVariant.DANGER,
    )
    def approve(self, request: HttpRequest, form: ApproveForm, object_id: str) -> HttpResponse:
        values = form.cleaned_data
        with _refusals():
            row = standing.approve(
                form.feature,
                values["row"],
                reason=values["reason"],
                user_id=int(request.user.pk or 0),
            )
        text = f"{row.version} is live without evidence until {utc(row.expires_at)}."
        return self._done(request, form.feature.slug, text)

    @button(
        "End override",
        permission="override",
        title="End the override",
        description="An override that is live ends now. A request is withdrawn.",
        form=EndForm,
        icon="event_busy",
    )
    def end_override(self, request: HttpRequest, form: EndForm, object_id: str) -> HttpResponse:
        values = form.cleaned_data
        with _refusals():
            activations.end_override(
                form.feature.slug,
                reason=values["reason"],
                user_id=int(request.user.pk or 0),
                seen=values["row"],
            )
        return self._done(request, form.feature.slug, "The override is over.")

    def _done(self, request: HttpRequest, slug: str, text: str) -> HttpResponse:
        self.message_user(request, text, messages.SUCCESS)
        return done("admin:aifeature_featurecontrol_prompts", quote(slug))


@contextmanager
def _refusals() -> Iterator[None]:
    """Turn a refusal into an error of the dialog."""
    try:
        yield
    except RefusedError as error:
        raise ValidationError(str(error)) from None


def buttons(request: HttpRequest, now: Standing) -> list[dict[str, Any]]:
    """Return the buttons of a page that have an effect and that this visitor may press."""
    slug, found = now.feature.slug, []
    if now.feature.internal:
        return []
    if request.user.has_perm(ACTIVATE) and now.rollback:
        text = f"Roll back to {now.rollback}"
        found.append({"text": text, "url": _url(slug, "roll_back"), "icon": "undo", "danger": True})
    if not request.user.has_perm(OVERRIDE):
        return found
    if now.request and now.request.user_id != request.user.pk:
        text = f"Approve override to {now.request.version}"
        found.append({"text": text, "url": _url(slug, "approve"), "icon": "how_to_reg"})
    if now.override or now.request:
        text = "End override" if now.override else "Withdraw request"
        found.append({"text": text, "url": _url(slug, "end_override"), "icon": "event_busy"})
    else:
        found.append({"text": "Request override", "url": _url(slug, "override"), "icon": "bolt"})
    return found


def activate_button(request: HttpRequest, now: Standing, version: Version) -> dict[str, Any] | None:
    """Return the button that activates a version; None if it cannot be, or is live."""
    live = now.live
    is_live = live is not None and live.prompt_hash == version.hash
    is_settled = is_live and live is not None and live.kind != Activation.Kind.OVERRIDDEN
    if version.problem or is_settled or not request.user.has_perm(ACTIVATE):
        return None
    url = f"{_url(now.feature.slug, 'activate')}?{urlencode({'version': version.version})}"
    return {"text": f"Activate {version.version}", "url": url, "icon": "rocket_launch"}


def _url(slug: str, action: str) -> str:
    return reverse(f"admin:aifeature_featurecontrol_{action}", args=(quote(slug),))
