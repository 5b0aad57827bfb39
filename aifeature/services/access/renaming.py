"""Renaming a feature: its users keep what they have."""

from __future__ import annotations

from typing import Final

from django.db import transaction

from aifeature import registry
from aifeature.models import AccessBlock, BetaMember, ControlChange, FeatureControl, RateOverride
from aifeature.services import controls
from aifeature.services.controls.opening import STAFF_ONLY

FIELD: Final = "seed"
"""`ControlChange.field` of a renaming."""

_CARRIED: Final = ("seed", "beta_cap", "holdout_percent")


class RenamingError(Exception):
    """Nothing was renamed. The message is for the operator."""


def rename(old: str, new: str, *, reason: str, user_id: int) -> str:
    """Give a new feature the seed and the access data of an old one. Return what was carried.

    Invited users, groups, members, blocks, rate overrides, places in the beta and the hold-out are
    copied, so the old feature keeps its users while processes of the last release run. The new
    feature keeps its stage and percent: with those of the old one, the same users see it.

    Args:
        old: The old slug, which may be gone from the code.
        new: The new slug, which is in the code.
        reason: Never empty.
        user_id: The operator.

    Raises:
        RenamingError: One of the features does not exist, or the new one is open to users.
    """
    if not reason.strip():
        raise RenamingError("A renaming needs a reason.")
    if old == new or controls.GLOBAL in {old, new}:
        raise RenamingError("Name two different features.")
    if registry.find(new) is None:
        raise RenamingError(f"The code has no feature {new}.")
    with transaction.atomic():
        FeatureControl.objects.get_or_create(feature=new)
        locked = FeatureControl.objects.select_for_update().filter(feature__in=(old, new))
        rows = {row.feature: row for row in locked.order_by("feature")}
        if old not in rows:
            raise RenamingError(f"There is no feature {old} with settings.")
        if rows[new].stage not in STAFF_ONLY:
            raise RenamingError(
                f"{new} is open to users already: another seed would move them. Set its stage to"
                " staff first."
            )
        carried = _carry(rows[old], rows[new], reason=reason, user_id=user_id)
    controls.clear_cache()
    return carried


def _carry(old: FeatureControl, new: FeatureControl, *, reason: str, user_id: int) -> str:
    before = {name: getattr(new, name) for name in _CARRIED}
    for name in _CARRIED:
        setattr(new, name, getattr(old, name))
    new.seed = old.seed or old.feature
    invited, groups = list(old.beta_users.all()), list(old.beta_groups.all())
    new.beta_users.add(*invited)
    new.beta_groups.add(*groups)
    members, blocks = _copy_members(old.feature, new.feature), _copy_blocks(old, new)
    rates = _copy_rates(old.feature, new.feature)
    carried = (
        f"{len(invited)} invited users, {len(groups)} groups, {members} members, {blocks} blocks,"
        f" {rates} rate overrides"
    )
    values = [(name, str(before[name]), str(getattr(new, name))) for name in _CARRIED]
    changed = [value for value in values if value[0] == FIELD or value[1] != value[2]]
    ControlChange.objects.bulk_create(
        ControlChange(
            feature=new.feature,
            field=name,
            old=was,
            new=now,
            reason=reason,
            user_id=user_id,
            figures={"renamed_from": old.feature, "carried": carried} if name == FIELD else None,
        )
        for name, was, now in changed
    )
    new.save(update_fields=[*_CARRIED, "updated_at"])
    return carried


def _copy_members(old: str, new: str) -> int:
    rows = BetaMember.objects.filter(feature=old)
    copies = [BetaMember(feature=new, user_id=r.user_id, joined_at=r.joined_at) for r in rows]
    BetaMember.objects.bulk_create(copies, ignore_conflicts=True)
    return len(copies)


def _copy_rates(old: str, new: str) -> int:
    """Copy rate overrides: a throttled user is throttled under the new name too."""
    if RateOverride.objects.filter(feature=new).exists():
        return 0
    copies = list(RateOverride.objects.filter(feature=old))
    for row in copies:
        row.pk, row.feature = None, new
    RateOverride.objects.bulk_create(copies)
    return len(copies)


def _copy_blocks(old: FeatureControl, new: FeatureControl) -> int:
    have = set(AccessBlock.objects.filter(feature=new.feature).values_list("user_id", flat=True))
    rows = AccessBlock.objects.filter(feature=old.feature).exclude(user_id__in=have)
    copies = [
        AccessBlock(
            feature=new.feature,
            user_id=row.user_id,
            reason=row.reason,
            message=row.message,
            expires_at=row.expires_at,
            created_by_id=row.created_by_id,
            created_at=row.created_at,
        )
        for row in rows
    ]
    AccessBlock.objects.bulk_create(copies)
    return len(copies)
