"""URLs of the pages."""

from __future__ import annotations

from django.contrib.auth.views import LogoutView
from django.urls import path

from aifeature.web import account, beta, feedback, job_views, sign_in, sources, usage, views

urlpatterns = [
    path("", views.start, name="start"),
    path("f/<slug:slug>/", views.feature, name="feature"),
    path("f/<slug:slug>/sources/", sources.sources_page, name="sources"),
    path("beta/", beta.beta_page, name="beta"),
    path("beta/<slug:slug>/join/", beta.join, name="join_beta"),
    path("beta/<slug:slug>/leave/", beta.leave, name="leave_beta"),
    path("usage/", usage.usage_page, name="usage"),
    path("jobs/", job_views.jobs_page, name="history"),
    path("jobs/<uuid:job_id>/", job_views.job_page, name="job"),
    path("jobs/<uuid:job_id>/cancel/", job_views.cancel_job, name="cancel"),
    path("jobs/<uuid:job_id>/feedback/", feedback.rate, name="rate"),
    path("jobs/<uuid:job_id>/nps/", feedback.answer_nps, name="nps"),
    path("jobs/<uuid:job_id>/signals/", feedback.note_signal, name="note_signal"),
    path("accounts/login/", sign_in.SignIn.as_view(), name="login"),
    path(
        "accounts/signed-out/",  # also from admin: the page clears drafts in the tab
        sign_in.SignIn.as_view(extra_context={"is_signed_out": True}),
        name="signed_out",
    ),
    path("accounts/logout/", LogoutView.as_view(), name="logout"),
    path("account/", account.account, name="account"),
    path("account/password/", account.change_password, name="change_password"),
    path("account/sessions/<slug:number>/end/", account.end_session, name="end_session"),
    path("account/sign-out-everywhere/", account.sign_out_everywhere, name="sign_out_everywhere"),
    path("account/tokens/", account.make_token, name="make_token"),
    path("account/tokens/<int:token_id>/revoke/", account.revoke_token, name="revoke_token"),
]
