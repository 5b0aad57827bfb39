"""The card that answers whether a user would see a feature, and why."""

from __future__ import annotations

from typing import Any, Final

from django.contrib.admin.utils import quote
from django.http import HttpRequest
from django.urls import reverse
from django.utils.http import urlencode

from aifeature import registry
from aifeature.admin.common.show import utc
from aifeature.admin.controls.cards import may_see
from aifeature.services import access
from aifeature.services.access import Explanation

MAX_TEXT: Final = 150


def card(request: HttpRequest, slug: str) -> dict[str, Any] | None:
    """Return the card, with its answer if the address names a user as `who`; None: not for them.

    It writes nothing.
    """
    feature = registry.find(slug)
    if feature is None or feature.internal or not _may_see_users(request):
        return None
    typed = request.GET.get("who", "").strip()[:MAX_TEXT]
    found: dict[str, Any] = {"typed": typed, "max_text": MAX_TEXT}
    if not typed:
        return found
    user = access.people.find(typed)
    if user is None:
        return {**found, "unknown": True}
    may_read = may_see(request, "accessblock")
    answer = access.explain(feature, user, with_reason=may_read)
    found |= {
        "name": user.get_username(),
        "visible": answer.visible,
        "sentence": answer.sentence,
        "facts": _facts(answer),
    }
    if request.user.has_perm("aifeature.add_accessblock"):
        query = urlencode({"user": str(user.pk), "feature": slug})
        found["block_url"] = f"{reverse('admin:aifeature_accessblock_add')}?{query}"
    if request.user.has_perm("auth.view_user"):
        found["user_url"] = reverse("admin:auth_user_change", args=(quote(user.pk),))
    return found


def _facts(answer: Explanation) -> list[tuple[str, str]]:
    facts = [("Rule", answer.rule.replace("_", " "))]
    if answer.bucket is not None:
        facts.append(("Place of the user", f"{answer.bucket} of 0 to 99"))
        facts.append(("Places below this are in", str(answer.threshold)))
    facts.append(("Since", utc(answer.since) if answer.since else "not recorded"))
    return facts


def _may_see_users(request: HttpRequest) -> bool:
    names = ("aifeature.view_featurecontrol", "aifeature.change_featurecontrol")
    people = ("auth.view_user", "auth.change_user")
    return any(map(request.user.has_perm, names)) and any(map(request.user.has_perm, people))
