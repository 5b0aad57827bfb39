"""Error reports to Sentry, without anything a user wrote or a model answered."""

from __future__ import annotations

from typing import Any

import sentry_sdk
from sentry_sdk.integrations.celery import CeleryIntegration
from sentry_sdk.integrations.django import DjangoIntegration
from sentry_sdk.integrations.logging import ignore_logger


def start(dsn: str, **options: Any) -> None:
    """Report errors to this DSN. `options` go to `sentry_sdk.init`.

    By default prompts would leave by the LLM integrations (`include_prompts`), by
    `data_collection` and by the local variables of a traceback. The first are not enabled, the
    others are off, and so are request bodies, cookies, queries and task arguments.
    """
    # What Django refuses as malformed is no defect, and anybody could send a flood of it.
    ignore_logger("django.security.*")
    sentry_sdk.init(
        dsn=dsn,
        auto_enabling_integrations=False,
        integrations=[DjangoIntegration(), CeleryIntegration()],
        include_local_variables=False,
        include_source_context=False,
        max_request_body_size="never",
        data_collection={
            "user_info": False,
            "http_bodies": [],
            "cookies": {"mode": "off"},
            "url_query_params": {"mode": "off"},
            "gen_ai": {"inputs": False, "outputs": False},
            "database_query_data": False,
            "queues": False,
            "stack_frame_variables": False,
        },
        **options,
    )
