"""Admin pages of deliveries of alerts."""

from __future__ import annotations

from collections.abc import Iterable

from django.contrib import admin
from django.contrib.admin.utils import quote
from django.urls import reverse
from django.utils.html import format_html
from unfold.decorators import display

from aifeature.admin.alerting import alert_page
from aifeature.admin.common.read_only import ChoiceFilter, ReadOnlyAdmin
from aifeature.admin.common.show import Labelled, moment, moment_column
from aifeature.models import Delivery


class StateFilter(ChoiceFilter):
    title = "state"
    parameter_name = "state"

    def choose(self) -> Iterable[tuple[str, str]]:
        return [(each.value, str(each.label)) for each in Delivery.State]


class EventFilter(ChoiceFilter):
    title = "message"
    parameter_name = "event"

    def choose(self) -> Iterable[tuple[str, str]]:
        return [(each.value, str(each.label)) for each in Delivery.Event]


@admin.register(Delivery)
class DeliveryAdmin(ReadOnlyAdmin):
    """Each message to a channel, with its tries and its last problem."""

    list_display = ("created", "channel", "about", "event", "state_label", "tries", "at", "problem")
    list_display_links = ("created",)
    list_filter = (StateFilter, EventFilter, "created_at")
    list_select_related = ("channel", "alert")
    fieldsets = (
        (
            None,
            {
                "fields": (
                    *("channel", "about", "event", "state_label", "tries", "problem"),
                    *("message_id", "created", "at"),
                )
            },
        ),
    )

    created = moment_column("created_at", "written")

    @admin.display(description="next try or end", ordering="next_at")
    def at(self, row: Delivery) -> str:
        return moment(row.ended_at or row.next_at)

    @display(description="state", label=alert_page.STATES)
    def state_label(self, row: Delivery) -> Labelled:
        return Labelled(row.state, row.get_state_display())

    @admin.display(description="alert")
    def about(self, row: Delivery) -> str:
        if row.alert is None:
            return "-"
        url = reverse("admin:aifeature_alert_change", args=(quote(row.alert.pk),))
        return format_html('<a class="aif-link" href="{}">{}</a>', url, row.alert)
