"""A bare Celery task that makes one SDK call and nothing else: a first version of a feature.

It sends the same bytes as a whole job, on the same kind of pool, and acknowledges late, but
validates, records and limits nothing. Task events for Flower are off, Celery's default.
"""

from __future__ import annotations

import os
from typing import Any

import anthropic  # noqa: TID251 (the plain SDK is compared)
from celery import Celery
from celery.signals import worker_init
from kombu import Exchange, Queue

from aifeature import prompts, registry
from project.stack.children import PYTHON
from tests.bench.load import DOCUMENT, FEATURE
from workers.inference.client import wire_schema

QUEUE = "bare"
WHOLE = "bare.whole"
STREAMED = "bare.streamed"

app = Celery("bare", broker=os.environ.get("PEER_REDIS_URL"))
app.conf.update(
    task_queues=[Queue(QUEUE, Exchange(QUEUE), QUEUE)],
    task_default_queue=QUEUE,
    task_acks_late=True,
    task_ignore_result=True,
    worker_prefetch_multiplier=1,
    worker_hijack_root_logger=False,
)

_made: dict[str, anthropic.Anthropic] = {}


@worker_init.connect
def _build_client(**_: Any) -> None:
    _made["client"] = anthropic.Anthropic(
        api_key="bench", base_url=os.environ["ANTHROPIC_BASE_URL"], max_retries=0
    )


@app.task(name=WHOLE)
def whole(*, number: int) -> None:
    """Make one call without a stream."""
    _made["client"].messages.create(**_ARGUMENTS)


@app.task(name=STREAMED)
def streamed(*, number: int) -> None:
    """Make one call and read its stream to the end."""
    for _ in _made["client"].messages.create(**_ARGUMENTS, stream=True):
        pass


def command(threads: int) -> list[str]:
    """Return the command line of its worker."""
    options = ["-P", "threads", "-c", str(threads), "-Q", QUEUE, "-n", QUEUE, "-l", "INFO"]
    quiet = ["--without-gossip", "--without-mingle"]
    return [PYTHON, "-m", "celery", "-A", "tests.bench.peer", "worker", *options, *quiet]


def _arguments() -> dict[str, Any]:
    feature = registry.get(FEATURE)
    prompt = prompts.get(FEATURE, feature.prompt_version)
    question = prompt.render({"document": DOCUMENT}).text
    schema = wire_schema(feature.output_schema)
    return {
        "model": feature.routes[0].models[0],
        "max_tokens": prompt.parameters.max_tokens,
        "system": [{"type": "text", "text": prompt.system, "cache_control": {"type": "ephemeral"}}],
        "messages": [{"role": "user", "content": [{"type": "text", "text": question}]}],
        "output_config": {"format": {"type": "json_schema", "schema": schema}},
    }


_ARGUMENTS = _arguments()
