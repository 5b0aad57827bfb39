"""The workers and when each was last seen."""

from __future__ import annotations

from typing import Any, Final

from django.contrib import admin
from django.db.models import BooleanField, Count, ExpressionWrapper, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce, Now
from django.http import HttpRequest
from unfold.decorators import display

from aifeature.admin.common.read_only import ReadOnlyAdmin
from aifeature.admin.common.show import moment_column
from aifeature.models import Job, Status, Worker
from aifeature.services.monitoring.signs_of_life import GONE_AFTER

COLOURS: Final = {"live": "success", "stopping": "warning", "gone": "danger"}


@admin.register(Worker)
class WorkerAdmin(ReadOnlyAdmin):
    list_display = ("name", "queue", "state", "slots", "running", "seen")
    ordering = ("name",)
    fieldsets = ((None, {"fields": ("name", "queue", "state", "slots", "running", "seen")}),)

    seen = moment_column("seen_at", "last seen")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Worker]:
        own = Job.objects.of_all_origins().filter(status=Status.RUNNING, worker=OuterRef("name"))
        count = own.order_by().values("worker").annotate(count=Count("pk")).values("count")
        rows: QuerySet[Worker] = super().get_queryset(request)
        gone = ExpressionWrapper(Q(seen_at__lt=Now() - GONE_AFTER), output_field=BooleanField())
        return rows.annotate(running_jobs=Coalesce(Subquery(count), 0), gone=gone)

    @display(description="state", label=COLOURS)
    def state(self, worker: Any) -> str:
        if worker.gone:
            return "gone"
        return "live" if worker.slots else "stopping"

    @admin.display(description="running jobs", ordering="running_jobs")
    def running(self, worker: Any) -> int:
        count: int = worker.running_jobs
        return count
