"""The ledger: provider calls, and the sums of the spend windows."""

# ruff: noqa: ARG002 - Django calls these methods with more arguments than they use

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.db import transaction
from django.db.models import Model, Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from unfold.decorators import display

from aifeature.admin.common.dialogs import button, done
from aifeature.admin.common.names import STATE_COLOURS
from aifeature.admin.common.read_only import FeatureFilter, ModelFilter, ReadOnlyAdmin, as_uuid
from aifeature.admin.common.show import (
    Labelled,
    as_sent,
    content,
    content_column,
    dollar_column,
    dollars,
    moment_column,
)
from aifeature.admin.spend.settle import BillFilter, PayerFilter, SettleForm
from aifeature.admin.spend.settle_many import SettleMany
from aifeature.models import UNSURE, Attempt, AttemptState, SpendWindow
from aifeature.services.spend import settlement

_SETTLED = "Settled by hand"
_TOKENS = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens")


@admin.register(Attempt)
class AttemptAdmin(SettleMany):
    """Every provider call that may be billed. A call with unconfirmed cost can be settled once."""

    list_display = (
        *("started", "call", "state_label", "feature", "model_name", "cost", "latency_ms"),
        *("stop_reason", "error_code", "job_link"),
    )
    list_filter = (
        BillFilter,
        PayerFilter,
        "state",
        ModelFilter,
        "purpose",
        FeatureFilter,
        "started_at",
    )
    ordering = ("-started_at", "-id")
    search_fields = ("id",)
    search_help_text = "The ID of a call or of its job."
    wide_fields = ("request", "output", "error_detail")
    fieldsets = (
        (
            None,
            {
                "fields": (
                    *("id", "job", "user", "feature", "budget", "purpose", "number", "epoch"),
                    *("state", "started", "ended", "day"),
                )
            },
        ),
        ("Model", {"fields": ("provider", "model", "prompt_version", "prompt_hash")}),
        ("Tokens and cost", {"fields": (*_TOKENS, "cost", "bound", "spend", "own_spend")}),
        (
            "Outcome",
            {
                "fields": (
                    *("latency_ms", "ttft_ms", "stop_reason", "request_id"),
                    *("error_code", "error_shown"),
                )
            },
        ),
        (_SETTLED, {"fields": ("settled", "settled_by", "settled_reason")}),
        ("Content", {"fields": ("request_shown", "output_shown")}),
    )
    actions_detail: Any = ("settle",)

    bound = dollar_column("bound_micro", "upper bound")
    spend = dollar_column("spend_micro", "counted as spent")
    started = moment_column("started_at", "started")
    ended = moment_column("ended_at", "ended")
    settled = moment_column("settled_at", "settled")
    error_shown = content_column("error_detail", "error detail")
    output_shown = content_column("output", "answer")

    @display(description="state", label=STATE_COLOURS)
    def state_label(self, attempt: Attempt) -> Labelled:
        return Labelled(attempt.state, attempt.get_state_display())

    @admin.display(description="cost", ordering="cost_micro")
    def cost(self, attempt: Attempt) -> str:
        cost = dollars(attempt.cost_micro)
        return f"at most {cost}" if attempt.state == AttemptState.ESTIMATED else cost

    @admin.display(description="call", ordering="number")
    def call(self, attempt: Attempt) -> str:
        return f"{attempt.get_purpose_display()} {attempt.number}"

    @admin.display(description="model", ordering="model")
    def model_name(self, attempt: Attempt) -> str:
        return format_html('<span class="aif-nowrap">{}</span>', attempt.model)

    @admin.display(description="as sent")
    def request_shown(self, attempt: Attempt) -> str:
        parts = as_sent(attempt.request)
        boxes = ((title, content(text)) for title, text in parts)
        return format_html_join("", "<strong>{}</strong>{}", boxes) or content(None)

    @admin.display(description="job")
    def job_link(self, attempt: Attempt) -> str:
        if attempt.job_id is None:
            return "-"
        url = reverse("admin:aifeature_job_change", args=(attempt.job_id,))
        return format_html(
            '<a class="aif-link aif-mono" href="{}">{}</a>', url, str(attempt.job_id)[:8]
        )

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        if not search_term.strip():
            return queryset, False
        wanted = as_uuid(search_term)
        if wanted is None:
            return queryset.none(), False
        return queryset.filter(Q(id=wanted) | Q(job_id=wanted)), False

    def get_fieldsets(self, request: HttpRequest, obj: Model | None = None) -> Any:
        by_hand = isinstance(obj, Attempt) and obj.settled_at is not None
        return [part for part in self.fieldsets if by_hand or part[0] != _SETTLED]

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> Any:
        attempt = self.get_object(request, unquote(str(object_id)))
        if attempt is None or attempt.state not in UNSURE:
            return []
        return super().get_actions_detail(request, object_id)

    @button(
        "Settle",
        permission="settle",
        title="Settle this call",
        description="The cost of this call is not confirmed, so its maximum counts as spent. Enter"
        " the amount that the provider billed. You cannot change it later.",
        form=SettleForm,
        icon="fact_check",
    )
    def settle(self, request: HttpRequest, form: SettleForm, object_id: str) -> HttpResponse:
        attempt = self.get_object(request, unquote(object_id))
        if attempt is None:
            raise Http404
        reason = form.cleaned_data["reason"]
        try:
            with transaction.atomic():
                settled = settlement.settle_unknown(
                    attempt_id=attempt.pk,
                    cost_usd=form.cleaned_data["cost_usd"],
                    reason=reason,
                    user_id=request.user.pk,
                    tokens=form.tokens,
                )
                cost = dollars(settled.cost_micro)
                self.log_change(request, settled, f"Settled at {cost}: {reason}")
        except settlement.NotUnknownError as error:
            self.message_user(request, str(error), messages.ERROR)
        else:
            self.message_user(request, f"Settled at {cost}.", messages.SUCCESS)
        return done("admin:aifeature_attempt_change", attempt.pk)


@admin.register(SpendWindow)
class SpendWindowAdmin(ReadOnlyAdmin):
    """Spent and held sums by UTC day. For users, spent is the charge."""

    list_display = ("day", "scope", "key", "spent", "held", "own_spend")
    list_filter = ("scope", "day")
    # A window is created on its day, so the indexed id follows the days.
    ordering = ("-id",)
    search_fields = ("key__startswith",)
    search_help_text = "The start of a key: a feature, feature:user ID, or user ID."
    fieldsets = ((None, {"fields": ("day", "scope", "key", "spent", "held", "own_spend")}),)

    spent = dollar_column("spent_micro", "spent")
    held = dollar_column("held_micro", "held")
    own_spend = dollar_column("own_spend_micro", "user's own spend")
