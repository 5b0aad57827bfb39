"""An action of the ledger's list that settles many calls for one reason, with a preview.

The preview fixes the set of calls. They are settled in batches, one request each, so that no
request times out. The page sends the next request by itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from unfold.widgets import UnfoldAdminRadioSelectWidget, UnfoldAdminTextInputWidget

from aifeature.admin.common.base import ChangeList
from aifeature.admin.common.names import title_of
from aifeature.admin.common.read_only import ReadOnlyAdmin
from aifeature.admin.common.show import dollars
from aifeature.models import UNSURE, Attempt, AttemptState
from aifeature.services.spend import bulk_settlement
from aifeature.services.spend.bulk_settlement import LIMIT, Bill, Preview, Step

TITLE = "Settle calls with unconfirmed cost"
LIST = "admin:aifeature_attempt_changelist"
VIEW = "aifeature_attempt_settle_many"


class Calls(forms.Field):
    """Ids of calls in one hidden field, because Django limits the number of fields."""

    widget = forms.HiddenInput

    def prepare_value(self, value: Any) -> Any:
        return value if isinstance(value, str) else ",".join(map(str, value or ()))

    def to_python(self, value: Any) -> tuple[UUID, ...]:
        try:
            return tuple(UUID(part) for part in str(value or "").split(",") if part)
        except ValueError:
            raise forms.ValidationError("This is not a list of call IDs.") from None


class SettleManyForm(forms.Form):
    """The bill of the calls, and how it was found out."""

    calls = Calls()
    settled = forms.IntegerField(widget=forms.HiddenInput, min_value=0, initial=0)
    skipped = forms.IntegerField(widget=forms.HiddenInput, min_value=0, initial=0)
    bill = forms.ChoiceField(
        label="What was billed",
        widget=UnfoldAdminRadioSelectWidget,
        choices=(
            (Bill.NOTHING.value, "Nothing was billed"),
            (Bill.COUNTED.value, "The counted amount was billed"),
        ),
    )
    reason = forms.CharField(
        max_length=500,
        widget=UnfoldAdminTextInputWidget,
        help_text="How you found out. Stored with each call.",
    )


class SettlementList(ChangeList):
    """The ledger's list, with the number of calls that an action on all of it would settle."""

    @property
    def unsure(self) -> str:
        """Number of calls with unconfirmed cost in this filter, as text."""
        rows = self.queryset.filter(state__in=UNSURE).order_by()
        count = rows[: LIMIT + 1].count()
        return f"{LIMIT:,}+" if count > LIMIT else f"{count:,}"


class SettleMany(ReadOnlyAdmin):
    actions: Any = ("settle_many",)
    list_disable_select_all = False

    def has_settle_permission(self, request: HttpRequest, _object_id: object = None) -> bool:
        return request.user.has_perm("aifeature.settle_attempt")

    def get_changelist(self, request: HttpRequest, **_: Any) -> Any:
        del request
        return SettlementList

    def get_custom_urls(self) -> tuple[tuple[str, str, Any], ...]:
        return (("settle-many/", VIEW, self.settle_many_view),)

    @admin.action(description=TITLE, permissions=["settle"])
    def settle_many(self, request: HttpRequest, queryset: QuerySet[Attempt]) -> HttpResponse | None:
        """Show a preview of settling these calls."""
        found = bulk_settlement.preview(queryset)
        if not found.calls:
            text = "None of these calls is estimated or unknown. There is nothing to settle."
            self.message_user(request, text, messages.WARNING)
            return None
        return self._preview(request, found, SettleManyForm(initial={"calls": found.calls}))

    def settle_many_view(self, request: HttpRequest, **_: Any) -> HttpResponse:
        """Settle the next batch of the previewed calls."""
        if not self.has_settle_permission(request):
            raise PermissionDenied
        if request.method != "POST":
            return HttpResponseRedirect(reverse(LIST))
        form = SettleManyForm(request.POST)
        if not form.is_valid():
            calls = form.cleaned_data.get("calls", ())
            chosen = bulk_settlement.preview(Attempt.objects.filter(pk__in=calls[:LIMIT]))
            return self._preview(request, chosen, form)
        given = form.cleaned_data
        bill, reason = Bill(given["bill"]), given["reason"]
        step = bulk_settlement.settle_batch(
            given["calls"],
            bill,
            reason=reason,
            user_id=request.user.pk,
            note=lambda call: self.log_change(
                request, call, f"Settled at {dollars(call.cost_micro)}: {reason}"
            ),
        )
        done = given["settled"] + step.settled, given["skipped"] + step.skipped
        if step.left:
            return self._progress(request, form, step, done)
        self.message_user(request, summary(*done), messages.SUCCESS)
        return HttpResponseRedirect(reverse(LIST))

    def _preview(self, request: HttpRequest, found: Preview, form: forms.Form) -> HttpResponse:
        context = {
            "title": TITLE,
            "form": form,
            "facts": facts(found),
            "groups": table(found),
            "more": f"{LIMIT:,}" if found.more else "",
        }
        return self._page(request, "aifeature/admin/settle_many.html", context)

    def _progress(
        self, request: HttpRequest, form: SettleManyForm, step: Step, done: tuple[int, int]
    ) -> HttpResponse:
        settled, skipped = done
        next_step = SettleManyForm(
            initial={
                **form.cleaned_data,
                "calls": step.left,
                "settled": settled,
                "skipped": skipped,
            }
        )
        for field in next_step.fields.values():
            field.widget = forms.HiddenInput()
        total = settled + skipped + len(step.left)
        context = {
            "title": "Settling calls",
            "form": next_step,
            "summary": summary(*done),
            "done": settled + skipped,
            "total": total,
            "left": f"{len(step.left):,}",
        }
        return self._page(request, "aifeature/admin/settling.html", context)

    def _page(
        self, request: HttpRequest, template: str, context: Mapping[str, Any]
    ) -> TemplateResponse:
        return TemplateResponse(
            request,
            template,
            {
                **self.admin_site.each_context(request),
                "opts": self.opts,
                "media": self.media,
                "settle_url": reverse(f"admin:{VIEW}"),
                "list_url": reverse(LIST),
                **context,
            },
        )


def summary(settled: int, skipped: int) -> str:
    calls = "1 call" if settled == 1 else f"{settled:,} calls"
    return f"{calls} settled. {skipped:,} skipped because they were already settled."


def facts(found: Preview) -> list[tuple[str, str]]:
    counted = dollars(found.counted_micro)
    return [
        ("Calls", f"{len(found.calls):,}"),
        ("Unknown, counted at their bound", f"{found.count(AttemptState.UNKNOWN):,}"),
        ("Estimated, counted at their ceiling", f"{found.count(AttemptState.ESTIMATED):,}"),
        ("Counted as spent now", counted),
        ("If nothing was billed", dollars(0)),
        ("If the counted amount was billed", counted),
    ]


def table(found: Preview) -> dict[str, Any]:
    """Return headers and rows of the calls by day, feature, state and error code."""
    return {
        "headers": ["Day (UTC)", "Feature", "State", "Error code", "Calls", "Counted now"],
        "rows": [
            [
                str(group.day),
                title_of(group.feature),
                group.state.label,
                group.error_code or "-",
                f"{group.calls:,}",
                dollars(group.counted_micro),
            ]
            for group in found.groups
        ],
    }
