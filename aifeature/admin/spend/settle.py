"""The form that settles a call with unconfirmed cost, and the filter that finds such calls."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.widgets import UnfoldAdminDecimalFieldWidget, UnfoldAdminIntegerFieldWidget

from aifeature.admin.common.dialogs import ReasonForm
from aifeature.admin.common.read_only import as_uuid
from aifeature.admin.common.show import dollars
from aifeature.models import NEEDS_A_PERSON, UNSURE, Attempt
from aifeature.services.spend.settlement import Tokens

_LARGEST = 2**31 - 1


def _count(label: str) -> forms.IntegerField:
    return forms.IntegerField(
        label=f"{label} tokens",
        required=False,
        min_value=0,
        max_value=_LARGEST,
        widget=UnfoldAdminIntegerFieldWidget,
    )


class SettleForm(ReasonForm):
    """Cost of a call, tokens if known, and how they were found out."""

    cost_usd = forms.DecimalField(
        label="Cost (USD)",
        min_value=0,
        max_digits=12,
        decimal_places=6,
        widget=UnfoldAdminDecimalFieldWidget,
    )
    input_tokens = _count("Input")
    output_tokens = _count("Output")
    cache_read_tokens = _count("Cache read")
    cache_write_tokens = _count("Cache write")
    field_order = ("cost_usd", *Tokens.__slots__, "reason")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["reason"].help_text = "How you found out. Stored with the call."
        call = as_uuid(str(self.object_id))
        rows = Attempt.objects.filter(pk__in=[call] if call else [])
        attempt = rows.only("state", "cost_micro", "bound_micro").first()
        if attempt is not None:
            self.fields["cost_usd"].help_text = (
                f"The amount that the provider billed, or 0. Counted until now:"
                f" {dollars(attempt.spend_micro)}, the maximum cost."
            )

    @property
    def tokens(self) -> Tokens:
        return Tokens(**{name: self.cleaned_data[name] for name in Tokens.__slots__})


class PayerFilter(admin.SimpleListFilter):
    """Filter calls by the budget that pays. The list of all calls is the whole bill."""

    title = "paid by"
    parameter_name = "paid_by"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        del request, model_admin
        return [
            ("users", "Budgets of features"),
            ("evals", "Budget of evaluations"),
            ("shadows", "Budgets of shadows"),
        ]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Attempt]) -> QuerySet[Attempt]:
        del request
        match self.value():
            case "users":
                return queryset.filter(budget="")
            case "evals":
                return queryset.filter(budget="_evals")
            case "shadows":
                return queryset.filter(budget__startswith="_shadow:")
        return queryset


class BillFilter(admin.SimpleListFilter):
    """Filter calls with unconfirmed cost, or those that a person must settle."""

    title = "bill"
    parameter_name = "bill"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        del request, model_admin
        return [("unsure", "Estimated or unknown"), ("person", "To be settled by a person")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Attempt]) -> QuerySet[Attempt]:
        del request
        match self.value():
            case "unsure":
                return queryset.filter(state__in=UNSURE)
            case "person":
                return queryset.filter(NEEDS_A_PERSON)
        return queryset
