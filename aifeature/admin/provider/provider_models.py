"""The provider's models: the state of their circuit breakers, and forcing one."""

# ruff: noqa: ARG002 - Django calls these methods with more arguments than they use

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
    """One row per model of the catalog, read-only. Forcing a breaker needs a reason."""

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
        """Return the rows of the models that can be called. Create missing ones."""
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
        return request.user.has_perm("aifeature.force_breaker")

    @button(
        "Force open",
        permission="force",
        title="Force the breaker open",
        description="No call is sent to this model. Its jobs use the next model of their route, or"
        " wait. This lasts until you choose Back to automatic.",
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
        description="All calls are sent to this model, even if they fail. This lasts until you"
        " choose Back to automatic.",
        form=ReasonForm,
        icon="send",
    )
    def force_closed(self, request: HttpRequest, form: ReasonForm, object_id: str) -> HttpResponse:
        return self._force(request, form, object_id, Forced.CLOSED)

    @button(
        "Back to automatic",
        permission="force",
        title="Return the breaker to automatic",
        description="The breaker opens and closes automatically again.",
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
        """Return the state of the row's model, read once for all columns."""
        if not hasattr(row, "cached_view"):
            row.cached_view = model_views.view(row)
        view: ModelView = row.cached_view
        return view
