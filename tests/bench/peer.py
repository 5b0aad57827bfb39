"""The bare thing: a Celery task that makes one SDK call and nothing else.

What a first version of a feature looks like. It sends the bytes that a whole job sends, on the
same kind of pool, and acknowledges late, but validates, records and limits nothing. The task
events for Flower are off, as Celery has them by default.
"""

from __future__ import annotations

import os
from typing import Any

import anthropic  # noqa: TID251 (the thing compared with is the plain SDK)
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
    """One call that is answered at once."""
    _made["client"].messages.create(**_ARGUMENTS)


@app.task(name=STREAMED)
def streamed(*, number: int) -> None:
    """One call that is answered as a stream, read to its end."""
    for _ in _made["client"].messages.create(**_ARGUMENTS, stream=True):
        pass


def command(threads: int) -> list[str]:
    """The command line of its worker; `-n` is there to be set."""
    options = ["-P", "threads", "-c", str(threads), "-Q", QUEUE, "-n", QUEUE, "-l", "INFO"]
    quiet = ["--without-gossip", "--without-mingle"]
    return [PYTHON, "-m", "celery", "-A", "tests.bench.peer", "worker", *options, *quiet]


def _arguments() -> dict[str, Any]:
    feature = registry.get(FEATURE)
    prompt = prompts.get(FEATURE, feature.prompt_version)
    question = prompt.render({"document": DOCUMENT})
    schema = wire_schema(feature.output_schema)
    return {
        "model": feature.routes[0].models[0],
        "max_tokens": prompt.parameters.max_tokens,
        "system": [{"type": "text", "text": prompt.system, "cache_control": {"type": "ephemeral"}}],
        "messages": [{"role": "user", "content": [{"type": "text", "text": question}]}],
        "output_config": {"format": {"type": "json_schema", "schema": schema}},
    }


_ARGUMENTS = _arguments()
