"""URLs of the tour."""

from __future__ import annotations

from django.urls import path

from project.tour import views

urlpatterns = [
    path("", views.tour, name="tour"),
    path("again/", views.again, name="tour_again"),
    path("<slug:slug>/", views.follow, name="tour_follow"),
]
