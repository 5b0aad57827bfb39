"""The models of the provider: how their circuit breakers do, and forcing one."""

# ruff: noqa: ARG002 - Django calls these methods with more than they need

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from unfold.decorators import display
from unfold.enums import ActionVariant

from aifeature.admin.audit_log import changes
from aifeature.admin.common.dialogs import ReasonForm, button, done
from aifeature.admin.common.read_only import ReadOnlyAdmin
from aifeature.admin.common.show import Labelled, moment_column
from aifeature.admin.controls import breaker_rows
from aifeature.models import Forced, ModelControl
from aifeature.services.controls import breakers
from aifeature.services.provider import model_views
from aifeature.services.provider.model_views import ModelView
from workers.inference import catalog

_SHOWN = ("model", "breaker", "failed", "slow", "limits")


@admin.register(ModelControl)
class ModelControlAdmin(ReadOnlyAdmin):
    """One row per model of the catalog. Nobody edits one; a breaker is forced with a reason."""

    list_display = (*_SHOWN, "reason")
    list_display_links = ("model",)
    ordering = ("model",)
    fieldsets = ((None, {"fields": (*_SHOWN, "reason", "changed")}),)
    actions_row: Any = ("force_open", "force_closed", "automatic")
    actions_detail: Any = ("force_open", "force_closed", "automatic")
    change_form_outer_after_template: Any = "aifeature/admin/changes.html"

    changed = moment_column("updated_at", "last change")

    @display(description="breaker", label=breaker_rows.COLOURS)
    def breaker(self, row: Any) -> Labelled:
        return breaker_rows.state(self._view(row))

    @admin.display(description="failed")
    def failed(self, row: Any) -> str:
        return breaker_rows.failed(self._view(row).live)

    @admin.display(description="slow")
    def slow(self, row: Any) -> str:
        return breaker_rows.slow(self._view(row).live)

    @admin.display(description="provider limits")
    def limits(self, row: Any) -> str:
        return breaker_rows.limits(self._view(row).live)

    def get_queryset(self, request: HttpRequest) -> QuerySet[ModelControl]:
        """The rows of the models that can be called, each made when it is first looked at."""
        known = catalog.known_models()
        rows: QuerySet[ModelControl] = super().get_queryset(request).filter(pk__in=known)
        if rows.count() < len(known):
            ModelControl.objects.bulk_create(
                (ModelControl(model=model) for model in known), ignore_conflicts=True
            )
        return rows

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: Any = None,
    ) -> Any:
        rows = breakers.changes(unquote(object_id or ""))
        context = {"changes": changes.latest(rows), **(extra_context or {})}
        return super().changeform_view(request, object_id, form_url, context)

    def has_force_permission(self, request: HttpRequest, object_id: object = None) -> bool:
        """Who may force a breaker."""
        return request.user.has_perm("aifeature.force_breaker")

    @button(
        "Force open",
        permission="force",
        title="Force the breaker open",
        description="Nothing is sent to this model: its jobs go to the next model of their route,"
        " or wait. It stays so until somebody gives it back.",
        form=ReasonForm,
        icon="block",
        variant=ActionVariant.DANGER,
    )
    def force_open(self, request: HttpRequest, form: ReasonForm, object_id: str) -> HttpResponse:
        return self._force(request, form, object_id, Forced.OPEN)

    @button(
        "Force closed",
        permission="force",
        title="Force the breaker closed",
        description="Everything is sent to this model, however many calls fail. It stays so until"
        " somebody gives it back.",
        form=ReasonForm,
        icon="send",
    )
    def force_closed(self, request: HttpRequest, form: ReasonForm, object_id: str) -> HttpResponse:
        return self._force(request, form, object_id, Forced.CLOSED)

    @button(
        "Back to automatic",
        permission="force",
        title="Give the breaker back",
        description="It opens and closes by itself again.",
        form=ReasonForm,
        icon="autorenew",
    )
    def automatic(self, request: HttpRequest, form: ReasonForm, object_id: str) -> HttpResponse:
        return self._force(request, form, object_id, Forced.AUTOMATIC)

    def _force(
        self, request: HttpRequest, form: ReasonForm, object_id: str, forced: Forced
    ) -> HttpResponse:
        model = unquote(object_id)
        if model not in catalog.known_models():
            raise Http404
        reason = form.cleaned_data["reason"]
        breakers.force(model, forced=forced, reason=reason, user_id=int(request.user.pk or 0))
        level = messages.WARNING if forced else messages.SUCCESS
        self.message_user(request, f"{model}: {forced.label[0].lower()}{forced.label[1:]}.", level)
        return done("admin:aifeature_modelcontrol_change", model)

    def _view(self, row: Any) -> ModelView:
        """What is known of the row's model; looked up once for its five columns."""
        if not hasattr(row, "found"):
            row.found = model_views.view(row)
        found: ModelView = row.found
        return found
