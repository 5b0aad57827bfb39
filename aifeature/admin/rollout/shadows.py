"""Shadows: start and stop them, and read their reports."""

# ruff: noqa: ARG002 - Django calls these methods with more arguments than they use

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.utils import quote, unquote
from django.core.exceptions import ValidationError
from django.db.models import Model
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from unfold.decorators import display
from unfold.enums import ActionVariant
from unfold.widgets import (
    UnfoldAdminDecimalFieldWidget,
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextInputWidget,
)

from aifeature import registry
from aifeature.admin.common.base import ModelAdmin
from aifeature.admin.common.dialogs import ReasonForm, button, done
from aifeature.admin.common.names import title_of
from aifeature.admin.common.read_only import FeatureFilter
from aifeature.admin.common.show import moment_column, money, span
from aifeature.models import Shadow
from aifeature.services.shadows import report, running
from aifeature.services.shadows.report import Report, Side
from aifeature.services.shadows.running import MOST_BUDGET_USD, MOST_DAYS, CannotStartError

if TYPE_CHECKING:  # only the stubs' class takes a model
    _ModelForm = forms.ModelForm[Shadow]
else:
    _ModelForm = forms.ModelForm


ABOUT: Final = (
    "A candidate answers a share of the requests again, after their users have their answers, and a"
    " judge compares the two. Users see nothing of it and wait for nothing. Personal data was"
    " replaced in the inputs before they were stored. A kill switch stops it. "
) + report.NO_EVIDENCE


class ShadowForm(_ModelForm):
    """A new shadow. Only its values are read; the service stores the row."""

    feature = forms.ChoiceField(widget=UnfoldAdminSelectWidget)
    version = forms.CharField(
        max_length=16,
        widget=UnfoldAdminTextInputWidget,
        help_text="The candidate, such as v5: a version in this code that is not live.",
    )
    percent = forms.IntegerField(
        min_value=1,
        max_value=100,
        initial=5,
        widget=UnfoldAdminIntegerFieldWidget,
        help_text="Share of the requests that the candidate answers again.",
    )
    daily_budget_usd = forms.DecimalField(
        label="Budget of a day",
        min_value=0,
        max_value=MOST_BUDGET_USD,
        decimal_places=2,
        widget=UnfoldAdminDecimalFieldWidget,
        help_text="In dollars, for the candidate and the judge. The database enforces it. A full"
        " budget stops the shadow until the next day in UTC, and no user.",
    )
    days = forms.IntegerField(
        min_value=1,
        max_value=MOST_DAYS,
        initial=7,
        widget=UnfoldAdminIntegerFieldWidget,
        help_text=f"Until it ends by itself, at most {MOST_DAYS}.",
    )
    reason = forms.CharField(
        max_length=500, widget=UnfoldAdminTextInputWidget, help_text="Stored in the audit log."
    )

    class Meta:
        model = Shadow
        fields: ClassVar = ("feature", "version", "percent", "daily_budget_usd", "reason")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "feature" in self.fields:
            choices = [(slug, each.title) for slug, each in registry.offered().items()]
            self.fields["feature"].choices = choices  # type: ignore[attr-defined]

    def clean(self) -> dict[str, Any]:
        """Reject what the service would refuse, with its sentence."""
        found: dict[str, Any] = super().clean() or {}
        if not self.errors:
            try:
                running.check(**self.values())
            except CannotStartError as refused:
                raise ValidationError(str(refused)) from None
        return found

    def values(self) -> dict[str, Any]:
        """Return the arguments of `running.check`."""
        found = {**self.cleaned_data}
        return {"slug": found.pop("feature"), **found}


@admin.register(Shadow)
class ShadowAdmin(ModelAdmin):
    """A row is the report of a shadow. It never changes, except that it ends."""

    form = ShadowForm
    list_display = ("what", "candidate", "percent", "state_label", "started", "ends", "who")
    list_display_links = ("what",)
    list_filter = (FeatureFilter, "state")
    list_select_related = ("created_by",)
    ordering = ("-id",)
    actions_detail: Any = ("stop",)
    change_form_outer_before_template: Any = "aifeature/admin/shadow.html"

    started = moment_column("created_at", "started")
    ends = moment_column("ends_at", "ends at the latest")
    ended = moment_column("ended_at", "ended")

    class Media:
        css: ClassVar = {"all": ["aifeature/admin.css"]}

    @admin.display(description="feature", ordering="feature")
    def what(self, row: Shadow) -> str:
        return title_of(row.feature)

    @admin.display(description="candidate", ordering="version")
    def candidate(self, row: Shadow) -> str:
        return f"{row.version} against {row.live_version}"

    @display(description="state", label={"running": "success", "ended": ""})
    def state_label(self, row: Shadow) -> str:
        return str(row.state)

    @admin.display(description="started by")
    def who(self, row: Shadow) -> str:
        return row.created_by.get_username() if row.created_by else "-"

    def get_fieldsets(self, request: HttpRequest, obj: Model | None = None) -> Any:
        if obj is None:
            new = ("feature", "version", "percent", "daily_budget_usd", "days", "reason")
            return ((None, {"fields": new, "description": ABOUT}),)
        return (("Record", {"fields": self.get_readonly_fields(request, obj)}),)

    def get_readonly_fields(self, request: HttpRequest, obj: Model | None = None) -> Any:
        if obj is None:
            return ()
        return (
            *("what", "candidate", "percent", "daily_budget_usd", "provider", "state_label"),
            *("started", "ends", "ended", "end_reason", "who", "reason"),
        )

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_stop_permission(self, request: HttpRequest, object_id: object = None) -> bool:
        """Require the permission to start one."""
        return self.has_add_permission(request)

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> Any:
        try:
            return super().add_view(request, form_url, extra_context)
        except CannotStartError as refused:  # another person was faster
            self.message_user(request, str(refused), messages.ERROR)
            return HttpResponseRedirect(reverse("admin:aifeature_shadow_changelist"))

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: Any) -> None:
        """Start it through the service, which writes the audit row."""
        stored = running.start(**form.values(), user_id=int(request.user.pk or 0))
        obj.pk = stored.pk

    def render_change_form(
        self,
        request: HttpRequest,
        context: dict[str, Any],
        add: bool = False,  # noqa: FBT001, FBT002 (Django's own signature)
        change: bool = False,  # noqa: FBT001, FBT002
        form_url: str = "",
        obj: Any = None,
    ) -> Any:
        if obj is not None:
            context["shadow_report"] = _shown(report.of(obj))
        return super().render_change_form(request, context, add, change, form_url, obj)

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> Any:
        shadow = self.get_object(request, unquote(str(object_id)))
        if shadow is None or shadow.state != Shadow.State.RUNNING:
            return []
        return super().get_actions_detail(request, object_id)

    @button(
        "Stop",
        permission="stop",
        title="Stop this shadow",
        description="No further request is answered again, and its open jobs are cancelled. Users"
        " notice nothing. The report stays.",
        form=ReasonForm,
        icon="stop_circle",
        variant=ActionVariant.DANGER,
    )
    def stop(self, request: HttpRequest, form: ReasonForm, object_id: str) -> HttpResponse:
        shadow = self.get_object(request, unquote(object_id))
        if shadow is None:
            raise Http404
        reason, person = form.cleaned_data["reason"], int(request.user.pk or 0)
        stopped = running.stop(shadow.feature, reason=reason, user_id=person, pk=shadow.pk)
        text = "The shadow is stopped." if stopped else "It had ended before. Nothing was changed."
        self.message_user(request, text, messages.SUCCESS if stopped else messages.WARNING)
        return done("admin:aifeature_shadow_change", shadow.pk)


def _shown(found: Report) -> dict[str, Any]:
    judged = found.wins + found.ties + found.losses
    tiles = (
        ("The candidate's is better", found.wins),
        ("Tie", found.ties),
        (f"{found.shadow.live_version}'s is better", found.losses),
    )
    return {
        "sentence": found.sentence,
        "never": report.NO_EVIDENCE,
        "tiles": [
            (name, n, f"{n / judged:.0%} of {judged:,}" if judged else "") for name, n in tiles
        ],
        "sides": [
            (f"{found.shadow.version}, the candidate", *_of_side(found.candidate)),
            (f"{found.shadow.live_version}, live", *_of_side(found.live)),
        ],
        "open": found.open,
        "unjudged": found.unjudged,
        "problems": found.problems.items(),
        "spent": money(found.spent_micro),
        "budget": money(found.budget_micro),
        "spent_micro": min(found.spent_micro, found.budget_micro),
        "budget_micro": found.budget_micro,
        "evaluate_url": reverse(
            "admin:aifeature_featurecontrol_prompts", args=(quote(found.shadow.feature),)
        ),
        "version": found.shadow.version,
        "ended": found.shadow.end_reason if found.shadow.state == Shadow.State.ENDED else "",
    }


def _of_side(side: Side) -> tuple[str, str]:
    cost = "-" if side.cost_micro is None else money(round(side.cost_micro))
    return cost, "-" if side.latency_s is None else span(side.latency_s)
