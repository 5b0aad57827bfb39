"""URLs of the panel."""

from __future__ import annotations

from django.urls import path

from project.panel import views

urlpatterns = [
    path("", views.panel, name="panel"),
    path("<slug:slug>/", views.act, name="panel_act"),
]
