"""Buttons that open a dialog before they act."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, cast

from django import forms
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from unfold.dataclasses import ActionDialog
from unfold.decorators import action
from unfold.forms import BaseDialogForm
from unfold.widgets import UnfoldAdminTextInputWidget

from aifeature.admin.common.dialog_page import also_alone

Button = TypeVar("Button", bound=Callable[..., HttpResponse])


class ReasonForm(BaseDialogForm):
    reason = forms.CharField(
        max_length=500, widget=UnfoldAdminTextInputWidget, help_text="Stored in the audit log."
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        # The page behind the dialog may have a reason too, and labels need unique ids.
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
    """Make a button on rows and detail pages that opens a dialog, or a page without JavaScript.

    The method receives the request, the valid form and `object_id`, and returns `done(...)`. If it
    raises ValidationError, the dialog shows the error and keeps what was typed.

    Args:
        text: Label of the button.
        permission: The admin's `has_<permission>_permission` decides who may press the button.
        title: Title of the dialog.
        description: Effect of the action.
        form: Form in the dialog.
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
        @wraps(method)
        def or_again(
            admin: Any, request: HttpRequest, form: BaseDialogForm, **kwargs: Any
        ) -> HttpResponse:
            try:
                return method(admin, request, form, **kwargs)
            except ValidationError as error:
                form.add_error(None, error)
            found = {"dialog": dialog, "form": form, "form_submit_text": text}
            return render(request, "unfold/helpers/dialog.html", found)

        # The library's annotation is a dataclass, but it returns the function.
        return cast("Button", also_alone(cast("Button", decorator(or_again)), title))

    return made


def done(url_name: str, *arguments: object) -> HttpResponse:
    """Redirect from the dialog to a page. htmx needs a header for this."""
    return HttpResponse(headers={"HX-Redirect": reverse(url_name, args=arguments)})
