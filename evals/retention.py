"""Retention: deletes the outputs of old runs. Their scores, verdicts and costs stay."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Final

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Exists, OuterRef, Q
from django.db.models.functions import Coalesce, Now

from evals.models import Run, Sample

logger = logging.getLogger(__name__)

# Notes of scorers, reasons of the judge and problems may quote an output.
_EMPTY: Final = """
    UPDATE evals_sample s
       SET output = NULL, problem = '',
           parts = (SELECT coalesce(jsonb_agg(p.one || '{"note": ""}' ORDER BY p.place), '[]')
                      FROM jsonb_array_elements(s.parts) WITH ORDINALITY AS p (one, place)),
           judgement = (SELECT jsonb_agg(j.one || '{"reason": ""}' ORDER BY j.place)
                          FROM jsonb_array_elements(s.judgement) WITH ORDINALITY AS j (one, place))
     WHERE s.run_id = %s"""


def delete_expired() -> str:
    """Empty the outputs of runs older than EVALS_RETENTION_DAYS. Return a sentence about it.

    Each run is a transaction of its own. A run that got new outputs since is emptied again.
    """
    days = settings.AIFEATURE["EVALS_RETENTION_DAYS"]
    stored = Sample.objects.filter(run=OuterRef("pk"), output__isnull=False)
    old = Run.objects.filter(created_at__lt=Now() - timedelta(days=days)).filter(
        Q(outputs_deleted_at=None) | Exists(stored)
    )
    runs = list(old.values_list("pk", flat=True))
    for run in runs:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(_EMPTY, [run])
            Run.objects.filter(pk=run).update(
                outputs_deleted_at=Coalesce("outputs_deleted_at", Now())
            )
        logger.info("retention: outputs of run %s, older than %d days, deleted", run, days)
    return f"The outputs of {len(runs)} evaluations were deleted."
