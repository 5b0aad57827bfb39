"""Content security policies: a strict one for all pages, with additions for Unfold's pages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from csp.constants import NONE, SELF, UNSAFE_EVAL, UNSAFE_INLINE
from csp.middleware import CSPMiddleware, PolicyParts

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponseBase

PAGES: Final[dict[str, Any]] = {
    "default-src": [NONE],
    "script-src": [SELF],
    "style-src": [SELF],
    "img-src": [SELF, "data:"],
    "connect-src": [SELF],
    "form-action": [SELF],
    "frame-ancestors": [NONE],
    "base-uri": [NONE],
}
"""Pages have no inline scripts or styles, and load nothing from other hosts."""

ADMIN: Final[dict[str, Any]] = {
    "font-src": [SELF],
    # Alpine compiles the expressions it finds in attributes.
    "script-src": [SELF, UNSAFE_EVAL],
    "style-src": [SELF, UNSAFE_INLINE],
}
"""Directives that Unfold's pages replace."""

DASHBOARD: Final = "dashboard/"
"""Addresses beside those of admin with pages of Unfold."""


class ContentPolicyMiddleware(CSPMiddleware):
    """Sends the policy of the requested page."""

    def get_policy_parts(
        self,
        request: HttpRequest,
        response: HttpResponseBase,
        report_only: bool = False,  # noqa: FBT001, FBT002 (as it is called)
    ) -> PolicyParts:
        """Return the strict policy, with the replacements of an admin page."""
        parts = super().get_policy_parts(request, response, report_only)
        match = request.resolver_match
        if match is not None and (match.app_name == "admin" or match.route.startswith(DASHBOARD)):
            parts.replace = ADMIN
        return parts
