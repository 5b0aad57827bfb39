"""No filter, search, order or page of a list in admin makes the site fail."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib import admin
from django.db.models import Model
from django.urls import reverse
from hypothesis import given, note
from hypothesis import strategies as st

from aifeature.admin.common.base import ChangeList, ModelAdmin
from tests.integration.fuzz.asgi import Site, Visit
from tests.integration.fuzz.conftest import Visitors
from tests.integration.fuzz.values import query, thorough, values

MODELS = sorted(admin.site._registry, key=lambda model: model._meta.label)
LOOKUPS = (
    *("", "__exact", "__iexact", "__contains", "__startswith", "__gt", "__gte", "__lt", "__in"),
    *("__range", "__isnull", "__isempty", "__year", "__year__gte", "__month", "__week", "__date"),
    *("__iso_year", "__time", "__regex", "__iregex", "__has_key", "__contained_by", "__search"),
    *("__id__exact", "__pk", "__username", "__password__startswith", "__nothing"),
)
OF_LISTS = ("q", "o", "p", "all", "e", "action", "_facets", "_popup", "_to_field", "bill", "model")


def parameters(model: type[Model]) -> st.SearchStrategy[str]:
    """Lookups of every field of a model, and what else a list reads from its address."""
    names = ["pk", *(field.name for field in model._meta.get_fields())]
    lookups = st.builds(str.__add__, st.sampled_from(names), st.sampled_from(LOOKUPS))
    return st.one_of(lookups, lookups, st.sampled_from(OF_LISTS), values)


@pytest.mark.parametrize("model", MODELS)
@thorough(12)
@given(data=st.data())
def test_no_address_breaks_a_list(
    site: Site, visitors: Visitors, rows: list[Model], model: Any, data: Any
) -> None:
    page = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
    pairs = data.draw(st.lists(st.tuples(parameters(model), values), min_size=1, max_size=3))
    visitor = data.draw(st.sampled_from(("viewer", "boss")))
    note(f"{page} {[(name[:300], value[:300]) for name, value in pairs]}")
    answer = site.visit(Visit(f"{page}?{query(pairs)}".encode(), headers=visitors[visitor]))
    assert answer.is_fine, answer


@pytest.mark.parametrize("model", MODELS)
def test_every_list_and_page_has_the_checks(model: type[Model], rf: Any) -> None:
    """The classes of the library have no such checks."""
    page = admin.site._registry[model]
    assert isinstance(page, ModelAdmin)
    assert issubclass(page.get_changelist(rf.get("/")), ChangeList)


def test_a_list_has_only_its_own_filters(site: Site, visitors: Visitors, rows: list[Model]) -> None:
    """Otherwise a visitor could guess the digest of a token character by character."""
    page = reverse("admin:aifeature_apitoken_changelist")
    for lookup, status in (("last_used_at__isnull=True", 200), ("digest__startswith=a", 302)):
        answer = site.visit(Visit(f"{page}?{lookup}".encode(), headers=visitors["viewer"]))
        assert answer.status == status
