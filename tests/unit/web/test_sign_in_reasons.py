"""The table of forms and their pages follows the addresses."""

from __future__ import annotations

from django.urls import get_resolver

from aifeature.web import sign_in_reasons, urls

NO_FORMS = {
    *("start", "sources", "history", "job", "login", "signed_out", "logout", "account", "beta"),
    "usage",
}
"""Pages without a form, or with one that needs no sign-in."""


def test_every_address_that_takes_a_form_leads_back_to_its_page() -> None:
    names = {pattern.name for pattern in urls.urlpatterns}
    assert names == NO_FORMS | sign_in_reasons.PAGES.keys()
    known = set(get_resolver().reverse_dict)
    assert known >= set(sign_in_reasons.PAGES.values())
