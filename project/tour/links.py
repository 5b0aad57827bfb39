"""The pages where the steps are done."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from django.contrib.admin.utils import quote
from django.urls import reverse
from django.utils.http import urlencode

from aifeature import registry
from aifeature.models import Job, Status
from aifeature.services import jobs
from aifeature.services.feedback import votes
from aifeature.services.promotion import standing
from aifeature.spec import Kind
from project.tour.step import Link

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.contrib.auth.models import User

    from aifeature.services.promotion.standing import Version
    from aifeature.spec import Feature

NEWEST: Final = 20
"""Most jobs that are searched for one to rate."""


def send(user: User) -> Link:
    """Return the form of a feature that streams, with an example filled in."""
    return _form(user, lambda feature: feature.stream_field is not None)


def send_for_fallback(user: User) -> Link:
    """Return the form of a feature that has a simple answer while the provider is away."""
    return _form(user, lambda feature: feature.offers_plain)


def panel(_user: User) -> Link:
    return Link(reverse("panel"), "Open the control panel")


def switch(_user: User) -> Link:
    """Return the page in admin of the feature that `send` proposes."""
    feature = next(iter(_offered(lambda each: each.stream_field is not None)), None)
    if feature is None:
        return Link(reverse("admin:index"), "Open admin")
    url = reverse("admin:aifeature_featurecontrol_change", args=(quote(feature.slug),))
    return Link(url, f"Open “{feature.title}” in admin")


def rate(user: User) -> Link:
    """Return the newest answer of the visitor that can be rated, else the history."""
    own = Job.objects.of_users().filter(user=user, status=Status.SUCCEEDED)
    for job in own.filter(feedback=None).order_by("-created_at", "-id")[:NEWEST]:
        if votes.may_rate(job):
            url = reverse("job", kwargs={"job_id": job.pk})
            return Link(f"{url}#feedback", "Open your latest answer")
    return send(user)


def prompts(_user: User) -> Link:
    """Return the dialog that activates a version which the gate refuses."""
    known = [standing.of(feature) for feature in registry.offered().values()]
    refused = [(each.feature, v) for each in known for v in each.versions if v.hash and v.problem]
    if not refused:
        return Link(reverse("admin:aifeature_featurecontrol_changelist"), "Open the features")
    feature, version = min(refused, key=lambda pair: _rank(pair[1]))
    url = reverse("admin:aifeature_featurecontrol_activate", args=(quote(feature.slug),))
    query = urlencode({"version": version.version})
    return Link(f"{url}?{query}", f"Activate {version.version} of “{feature.title}”")


def audit(_user: User) -> Link:
    return Link(reverse("admin:aifeature_controlchange_changelist"), "Open the audit log")


def _rank(version: Version) -> int:
    """Return 0 for a version with evidence that did not pass, whose reason is the clearest."""
    return 0 if version.evidence is not None and not version.evidence.passed else 1


def _form(user: User, fits: Callable[[Feature], bool]) -> Link:
    visible = {feature.slug for feature in jobs.visible_features(user=user)}
    for feature in _offered(fits):
        if feature.slug in visible:
            url = reverse("feature", kwargs={"slug": feature.slug})
            return Link(f"{url}{_example(feature)}", f"Open “{feature.title}”")
    return Link(reverse("start"), "Open the features")


def _offered(fits: Callable[[Feature], bool]) -> list[Feature]:
    return [feature for feature in registry.offered().values() if fits(feature)]


def _example(feature: Feature) -> str:
    """Return the query that fills in an ordinary example of a feature; empty if it has none."""
    kinds = [example.kind for example in feature.examples]
    return f"?example={kinds.index(Kind.NORMAL)}" if Kind.NORMAL in kinds else ""
