"""Buttons that ask before they act."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

from django import forms
from django.http import HttpResponse
from django.urls import reverse
from unfold.dataclasses import ActionDialog
from unfold.decorators import action
from unfold.forms import BaseDialogForm
from unfold.widgets import UnfoldAdminTextInputWidget

from aifeature.admin.common.dialog_page import also_alone

Button = TypeVar("Button", bound=Callable[..., HttpResponse])


class ReasonForm(BaseDialogForm):
    """Asks why."""

    reason = forms.CharField(
        max_length=500, widget=UnfoldAdminTextInputWidget, help_text="Kept in the audit trail."
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        # The page under the dialog may have a reason too: a label finds its field by id.
        super().__init__(*args, auto_id="dialog_%s", **kwargs)


def button(
    text: str,
    *,
    permission: str,
    title: str,
    description: str,
    form: type[BaseDialogForm] = BaseDialogForm,
    **looks: Any,
) -> Callable[[Button], Button]:
    """A button on a row and on a detail page that opens a dialog, or without JavaScript a page.

    The method is called with the request, the valid form and `object_id`; it answers `done`.

    Args:
        text: What stands on it.
        permission: `has_<permission>_permission` of the admin says who may press it.
        title: Heads the dialog.
        description: Says what will happen.
        form: What the dialog asks for.
        looks: `icon` and `variant`.
    """
    dialog: ActionDialog = {
        "title": title,
        "description": description,
        "form_class": form,
        "form_submit_text": text,
    }
    decorator: Any = action(description=text, permissions=[permission], dialog=dialog, **looks)

    def made(method: Button) -> Button:
        # The library's annotations say it gives a dataclass; it gives the function.
        return cast("Button", also_alone(cast("Button", decorator(method)), title))

    return made


def done(url_name: str, *arguments: object) -> HttpResponse:
    """Leave the dialog for a page: it was sent by a script, which follows no plain redirect."""
    return HttpResponse(headers={"HX-Redirect": reverse(url_name, args=arguments)})
