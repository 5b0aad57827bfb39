"""URL configuration: the API, the pages, admin, and the probes."""

from __future__ import annotations

from django.conf import settings
from django.contrib import admin
from django.urls import include, path

from aifeature.api import api
from project import probes

urlpatterns = [
    path("healthz", probes.healthz),
    path("readyz", probes.readyz),
    path("admin/", admin.site.urls),
    path("dashboard/", include("aifeature.admin.dashboard.urls")),
    path("api/v1/", api.urls),
    path("", include("aifeature.web.urls")),
]
if settings.AIFEATURE["PROVIDER"] == "sandbox":  # refused outside of the local stack
    urlpatterns += [
        path("panel/", include("project.panel.urls")),
        path("tour/", include("project.tour.urls")),
    ]

handler400 = "aifeature.web.errors.bad_request"
handler403 = "aifeature.web.errors.forbidden"
handler404 = "aifeature.web.errors.not_found"
handler500 = "aifeature.web.errors.server_error"
