"""Addresses of the dashboard. Each requires the sign-in of admin."""

from __future__ import annotations

from django.contrib import admin
from django.urls import path

from aifeature.admin.dashboard import views

urlpatterns = [
    path("", admin.site.admin_view(views.dashboard), name="dashboard"),
    path("live/", admin.site.admin_view(views.live), name="dashboard_live"),
    path("<slug:chart>.csv", admin.site.admin_view(views.chart_csv), name="dashboard_csv"),
]
