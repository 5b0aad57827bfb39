"""Addresses of the pages."""

from __future__ import annotations

from django.contrib.auth.views import LogoutView
from django.urls import path

from aifeature.web import job_views, sign_in, views

urlpatterns = [
    path("", views.start, name="start"),
    path("f/<slug:slug>/", views.feature, name="feature"),
    path("jobs/", job_views.jobs_page, name="history"),
    path("jobs/<uuid:job_id>/", job_views.job_page, name="job"),
    path("jobs/<uuid:job_id>/cancel/", job_views.cancel_job, name="cancel"),
    path("accounts/login/", sign_in.SignIn.as_view(), name="login"),
    path("accounts/logout/", LogoutView.as_view(), name="logout"),
]
