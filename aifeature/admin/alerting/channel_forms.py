"""The form of a channel. The stored address is never part of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.core.exceptions import ValidationError
from unfold.widgets import (
    UnfoldAdminSelectWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanWidget,
)

from aifeature.models import AlertChannel
from aifeature.services.channels import register
from aifeature.services.channels.problems import AddressError

if TYPE_CHECKING:  # only the stubs' class takes a model
    _ModelForm = forms.ModelForm[AlertChannel]
else:
    _ModelForm = forms.ModelForm


class ChannelForm(_ModelForm):
    """Checks the address, and requires a reason."""

    kind = forms.ChoiceField(
        choices=AlertChannel.Kind.choices,
        widget=UnfoldAdminSelectWidget,
        help_text="A webhook is sent JSON with a signature. It cannot be changed later.",
    )
    new_address = forms.CharField(
        label="Address",
        required=False,
        max_length=1_000,
        strip=True,
        widget=UnfoldAdminTextInputWidget(attrs={"autocomplete": "off", "spellcheck": "false"}),
    )
    renews_secret = forms.BooleanField(
        label="New secret",
        required=False,
        widget=UnfoldBooleanWidget,
        help_text="Of a webhook. The receiver needs it at once: it is shown after saving, once.",
    )
    reason = forms.CharField(
        max_length=500, widget=UnfoldAdminTextInputWidget, help_text="Stored in the audit log."
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        address = self.fields["new_address"]
        is_new = self.instance._state.adding  # noqa: SLF001 (public in Django)
        if is_new:
            address.required = True
            address.help_text = (
                "Such as https://hooks.example/alerts for a webhook, or"
                " mailtos://user:password@example.com?to=oncall@example.com,"
                " slack://TokenA/TokenB/TokenC, pagerduty://IntegrationKey@ApiKey. Stored"
                " encrypted. See docs/operations/alert-channels.md."
            )
            self.fields.pop("renews_secret")
        else:
            self.fields.pop("kind")
            address.help_text = "Leave this empty to keep the present address."
            if self.instance.kind != AlertChannel.Kind.WEBHOOK:
                self.fields.pop("renews_secret")

    def clean(self) -> dict[str, Any]:
        """Check the address with the rules of its kind."""
        values: dict[str, Any] = super().clean() or self.cleaned_data
        kind = values.get("kind") or self.instance.kind
        address = values.get("new_address")
        if address and kind:
            try:
                register.checked(kind, address)
            except AddressError as error:
                self.add_error("new_address", ValidationError(str(error)))
        return values
