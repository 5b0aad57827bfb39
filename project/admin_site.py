"""The admin site, with its environment badge and sidebar."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.conf import settings
from django.core.exceptions import BadRequest
from django.core.paginator import InvalidPage
from django.http import Http404, HttpRequest, HttpResponseBase, HttpResponseRedirect
from django.templatetags.static import static
from django.urls import reverse
from unfold.forms import AuthenticationForm
from unfold.sites import UnfoldAdminSite

from aifeature.web.sign_in import SignInForm

Item = dict[str, Any]
View = Callable[..., HttpResponseBase]


class AdminSignInForm(SignInForm, AuthenticationForm):
    """Unfold's form. It refuses names that no account can have."""


class AdminSite(UnfoldAdminSite):
    """Unfold's site. It answers 400 to addresses that contain a NUL."""

    login_form = AdminSignInForm

    def admin_view(self, view: Any, cacheable: bool = False) -> Any:  # noqa: FBT001, FBT002 (Django's)
        """Wrap a view with the sign-in and the check for a NUL.

        PostgreSQL stores no NUL, so an id, filter or search with one cannot match.
        """
        guarded: Any = super().admin_view(view, cacheable)

        @wraps(guarded)
        def checked(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            texts = [request.path, *request.GET]
            texts += [value for values in request.GET.lists() for value in values[1]]
            if any("\0" in text for text in texts):
                raise BadRequest("The address contains a NUL.")
            answer: HttpResponseBase = guarded(request, *args, **kwargs)
            return answer

        return checked

    def password_change(
        self,
        request: HttpRequest,  # noqa: ARG002 (Django's signature)
        extra_context: dict[str, Any] | None = None,  # noqa: ARG002
    ) -> Any:
        """Redirect to the account page, which limits wrong passwords and ends other sessions."""
        return HttpResponseRedirect(reverse("account"))

    def search(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        """Search pages of the admin by name.

        Raises:
            Http404: this page of results does not exist.
        """
        try:
            return super().search(request, extra_context)
        except (InvalidPage, ValueError):
            raise Http404 from None


def environment(_request: HttpRequest) -> tuple[str, str] | None:
    """Return the text and colour of the badge in each page's header. Production has none."""
    if settings.AIFEATURE["PROVIDER"] == "sandbox":
        return "Sandbox provider", "warning"
    return None


def favicon(_request: HttpRequest) -> str:
    """Return the icon's address. Without it, browsers request a file that does not exist."""
    return static("aifeature/favicon.svg")


def focus_script(_request: HttpRequest) -> str:
    """Return the address of the script that moves the focus into dialogs and to errors."""
    return static("aifeature/focus.js")


def navigation(request: HttpRequest) -> list[Item]:
    """Return the groups and pages of the sidebar that this visitor may see."""
    groups = [
        _group(
            "Operate",
            _dashboard(request),
            _list(request, "aifeature", "job", "Jobs", "work"),
            _list(request, "aifeature", "attempt", "Attempts", "receipt_long"),
            _list(request, "aifeature", "webfailure", "Web failures", "report"),
            _list(request, "aifeature", "worker", "Workers", "memory"),
            _list(request, "aifeature", "alert", "Alerts", "error"),
            _list(request, "aifeature", "silence", "Silences", "notifications_off"),
            _list(request, "aifeature", "alertchannel", "Alert channels", "campaign"),
            _list(request, "aifeature", "delivery", "Deliveries of alerts", "outgoing_mail"),
            _list(request, "aifeature", "featurecontrol", "Features", "toggle_on"),
            _list(request, "aifeature", "canary", "Canaries", "experiment"),
            _list(request, "evals", "run", "Evaluations", "science"),
            _list(request, "evals", "weeklyrun", "Regression runs", "trending_down"),
            _list(request, "aifeature", "modelcontrol", "Models", "electrical_services"),
            _list(request, "aifeature", "provideraccount", "Provider accounts", "account_balance"),
            _list(request, "aifeature", "shadow", "Shadows", "content_copy"),
            _list(request, "aifeature", "refusedsubmissions", "People", "groups"),
            _list(request, "aifeature", "rateoverride", "Rates of users", "speed"),
            _list(request, "aifeature", "accessblock", "Blocked users", "block"),
            _list(request, "aifeature", "launch", "Launches", "rocket_launch"),
            _list(request, "aifeature", "controlchange", "Changes", "history"),
            _list(request, "aifeature", "guardevent", "Guard events", "shield"),
            _list(request, "aifeature", "feedback", "Feedback", "thumbs_up_down"),
            _list(request, "aifeature", "spendwindow", "Spend", "payments"),
        ),
        _group(
            "Access",
            _list(request, "auth", "user", "Users", "person"),
            _list(request, "auth", "group", "Groups", "group"),
            _list(request, "aifeature", "apitoken", "API tokens", "key"),
        ),
        _group(
            "Schedule",
            _list(request, "django_celery_beat", "periodictask", "Periodic tasks", "schedule"),
            _list(request, "aifeature", "checkrun", "Checks", "fact_check"),
        ),
    ]
    groups.append(_group("Links", _flower(), _tour(request)))
    return [group for group in groups if group["items"]]


def _flower() -> Item | None:
    if not settings.FLOWER_URL:
        return None
    return {
        "title": "Flower",
        "icon": "local_florist",
        "link": settings.FLOWER_URL,
        "active": False,
    }


def _tour(request: HttpRequest) -> Item | None:
    """Return the way back to the tour, which leads into admin. Only the local stack has one."""
    if settings.AIFEATURE["PROVIDER"] != "sandbox" or not getattr(request.user, "is_staff", False):
        return None
    return {"title": "Tour", "icon": "tour", "link": reverse("tour"), "active": False}


def _group(title: str, *items: Item | None) -> Item:
    return {"title": title, "separator": True, "items": [item for item in items if item]}


def _dashboard(request: HttpRequest) -> Item | None:
    """Return the entry of the dashboard, whose page itself depends on permissions."""
    if not request.user.is_staff:
        return None
    return {"title": "Dashboard", "icon": "monitoring", "link": reverse("dashboard")}


def _list(request: HttpRequest, app: str, model: str, title: str, icon: str) -> Item | None:
    permissions = (f"{app}.view_{model}", f"{app}.change_{model}")
    if not any(request.user.has_perm(permission) for permission in permissions):
        return None
    return {"title": title, "icon": icon, "link": reverse(f"admin:{app}_{model}_changelist")}
