"""The start page, and signing in."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, cast

from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.contrib.auth.views import LoginView
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from aifeature.services import jobs

if TYPE_CHECKING:
    from django.contrib.auth.models import User

    from aifeature.spec import Feature


class SignIn(LoginView):
    """Name and password; then on to the page that was asked for, if it is one of this site."""

    redirect_authenticated_user = True

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Add what every page shows."""
        return {**super().get_context_data(**kwargs), **on_every_page()}


@never_cache
@require_safe
@login_required
def start(request: HttpRequest) -> HttpResponse:
    """The features this user may use, and how to call them."""
    features = jobs.visible_features(user=cast("User", request.user))
    context = {
        "features": [_card(feature, request) for feature in features],
        "docs": reverse("api:openapi-view"),
        **on_every_page(),
    }
    return render(request, "aifeature/start.html", context)


def on_every_page() -> dict[str, Any]:
    """Context of the base template: nobody may take the stand-in's answers for a model's."""
    return {"is_sandbox": settings.AIFEATURE["PROVIDER"] == "sandbox"}


def _card(feature: Feature, request: HttpRequest) -> dict[str, Any]:
    address = reverse("api:submit_job", kwargs={"slug": feature.slug})
    names = feature.input_model.model_json_schema().get("required", [])
    return {
        "title": feature.title,
        "description": feature.description,
        "address": request.build_absolute_uri(address),
        "body": json.dumps({"input": dict.fromkeys(names, "...")}),
    }
