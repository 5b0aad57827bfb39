"""The forms of the account page."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final

from django import forms
from django.contrib.auth.forms import PasswordChangeForm

from aifeature.spec import Feature

DAYS: Final = (("7", "7 days"), ("30", "30 days"), ("90", "90 days"), ("365", "1 year"))


class OwnPasswordForm(PasswordChangeForm):
    """Django's form without autofocus, because the page has several forms."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["old_password"].widget.attrs.pop("autofocus", None)


class TokenForm(forms.Form):
    name = forms.CharField(
        max_length=80,
        help_text="What you will use it for, such as “nightly import”.",
        widget=forms.TextInput({"autocomplete": "off"}),
    )
    may = forms.ChoiceField(
        label="Access",
        choices=(("read", "Read results"), ("submit", "Read results, submit and cancel")),
        initial="read",
    )
    days = forms.ChoiceField(label="Expires after", choices=DAYS, initial="90")
    features = forms.MultipleChoiceField(
        label="Features",
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text="If you choose none, the token is for every feature you can use, now and later.",
    )

    def __init__(self, *args: Any, features: Sequence[Feature], **kwargs: Any) -> None:
        super().__init__(*args, **{"auto_id": "token_%s", **kwargs})
        self.fields["features"].choices = [(each.slug, each.title) for each in features]  # type: ignore[attr-defined]

    @property
    def scope(self) -> dict[str, Any]:
        """The arguments of `ApiToken.issue`, without the user."""
        given = self.cleaned_data
        return {
            "name": given["name"],
            "lasts": timedelta(days=int(given["days"])),
            "may_submit": given["may"] == "submit",
            "features": given["features"] or None,
        }
