"""The product starts with every documented value of every setting.

The values come from project/env.py: what a type allows, or the field's `examples`. Those of a
numeric field's bounds are loaded, and not started.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, get_args, get_origin

import annotated_types
import pytest
from django_celery_beat.models import PeriodicTask
from pydantic import SecretStr
from pydantic.fields import FieldInfo

from aifeature.models import Worker
from project import env
from project.stack.local_dir import CHECKOUT
from tests.contract.settings_servers import Place, place
from tests.product import started
from tests.system import component

__all__ = ["place"]

FIELDS = env.Env.model_fields
KEY = hashlib.sha256(b"of these tests").hexdigest()
"""In place of a secret without `examples`: a documented one would be refused as a copy."""


def documented(field: FieldInfo) -> list[str]:
    """The documented values of a setting, as written in the environment."""
    if field.examples:
        return [str(each) for each in field.examples]
    kinds = {field.annotation, *get_args(field.annotation)}
    for kind in kinds:
        if get_origin(kind) is Literal:
            return list(get_args(kind))
    if get_origin(field.annotation) is Literal:
        return list(get_args(field.annotation))
    if bool in kinds:
        return ["true", "false"]
    if SecretStr in kinds or "SecretStr" in str(field.annotation):
        return [KEY]
    return []


VALUES = {name.upper(): documented(field) for name, field in FIELDS.items()}


def bounds(field: FieldInfo) -> list[str]:
    """The least and the greatest value of a number that may have them."""
    found: list[object] = []
    for each in field.metadata:
        if isinstance(each, annotated_types.Ge):
            found.append(each.ge)
        if isinstance(each, annotated_types.Le):
            found.append(each.le)
    return [str(each) for each in found]


@pytest.mark.parametrize("name", VALUES)
def test_every_setting_has_documented_values(name: str) -> None:
    assert VALUES[name], (
        f"add `examples` to {name.lower()} in project/env.py: this test starts them"
    )


GOOD = {
    "SECRET_KEY": KEY,
    "DATABASE_URL": "postgresql://app@db/app",
    "REDIS_URL": "redis://cache:6379/0",
}
NEEDS = {
    ("PROVIDER", "sandbox"): {"LOCAL_STACK": "true"},
    ("DEBUG", "true"): {"LOCAL_STACK": "true"},
}
"""Other settings that project/env.py requires with these."""

LOADED = [
    *((name, value) for name, values in VALUES.items() for value in values),
    *((name.upper(), value) for name, field in FIELDS.items() for value in bounds(field)),
]


@pytest.fixture
def _nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in FIELDS:
        monkeypatch.delenv(name.upper(), raising=False)
        monkeypatch.delenv(f"{name.upper()}_FILE", raising=False)
    monkeypatch.setitem(env.Env.model_config, "env_file", None)


@pytest.mark.usefixtures("_nothing_else")
@pytest.mark.parametrize(("name", "value"), LOADED)
@pytest.mark.parametrize("from_file", [False, True])
def test_every_documented_value_is_read(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, value: str, *, from_file: bool
) -> None:
    for other, given in {**GOOD, **NEEDS.get((name, value), {}), name: value}.items():
        monkeypatch.setenv(other, given)
    if from_file:
        file = tmp_path / "value"
        file.write_text(f"{value}\n")
        monkeypatch.delenv(name)
        monkeypatch.setenv(f"{name}_FILE", str(file))
    env.load()


@pytest.mark.usefixtures("_nothing_else")
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DATABASE_URL", "postgresql://app:pass@word@db:port/app"),
        ("DATABASE_URL", "postgresql://app@db"),
        ("DATABASE_URL", "postgresql://[::1/app"),
        ("REDIS_URL", "redis://cache/0?db=1"),
        ("REDIS_URL", "unix://run/redis.sock"),
        ("FORWARDED_ALLOW_IPS", "*"),
        ("FORWARDED_ALLOW_IPS", "nginx"),
        ("ANTHROPIC_BASE_URL", "gateway.example"),
        ("FLOWER_URL", "javascript:alert(1)"),
        ("CSRF_TRUSTED_ORIGINS", "app.example"),
        ("CSRF_TRUSTED_ORIGINS", "https://app.example/path"),
        ("SENTRY_DSN", "https://sentry.example/1"),
        ("WEB_REQUESTS_PER_SECOND", "inf"),
        ("GLOBAL_DAILY_BUDGET_USD", "1e30"),
    ],
)
def test_a_value_that_cannot_work_is_one_line_at_boot(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    for other, given in {**GOOD, name: value}.items():
        monkeypatch.setenv(other, given)
    with pytest.raises(env.ConfigurationError) as refused:
        env.load()
    assert str(refused.value).startswith(f"{name}: ")
    assert "\n" not in str(refused.value)


def round_of(number: int) -> dict[str, str]:
    """One value of each setting; the rounds together have all of them."""
    found = {}
    for name, values in VALUES.items():
        if not values:
            continue  # another test requires them
        index = number
        if name in {"DEBUG", "PROVIDER"}:
            index = number // 2  # these two need the local stack, which is every second round
        elif name == "WEB_CONCURRENCY":
            index = min(number, len(values) - 1)  # two processes in one round, not in each second
        found[name] = values[index % len(values)]
    if found["LOCAL_STACK"] == "false":
        found |= {"PROVIDER": "anthropic", "DEBUG": "false"}
    return found


ROUNDS = [round_of(number) for number in range(max(4, *map(len, VALUES.values())))]


CALLS, BEAT = (1, 2), (1, 3)
"""The rounds with a worker that makes provider calls, and with beat. The other rounds have a
control worker: it reads the settings in the same way, and the SDK takes seconds to load."""

OF_CALLS = ("ANTHROPIC_", "PROVIDER")


def test_the_rounds_have_every_documented_value() -> None:
    calls = [ROUNDS[number] for number in CALLS]
    missing = [
        (name, value)
        for name, values in VALUES.items()
        for value in values
        if value not in {each[name] for each in (calls if name.startswith(OF_CALLS) else ROUNDS)}
    ]
    assert not missing


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("number", range(len(ROUNDS)))
def test_the_product_starts_with_every_documented_value(
    number: int, place: Place, tmp_path: Path
) -> None:
    given = place.here(ROUNDS[number])
    queue = "llm" if number in CALLS else "control"
    worker, beat = f"worker-{queue}", ["beat"] if number in BEAT else []
    with started("web", worker, *beat, logs=tmp_path, env=given) as found:
        found["web"].until(lambda: place.is_ready(given))
        found[worker].until(Worker.objects.filter(queue=queue).exists)
        for name in beat:
            found[name].until(PeriodicTask.objects.filter(task="control.sweep").exists)
        for name in (worker, *beat):  # the local stack waits for these signs in their logs
            found[name].until(component(name, logs=tmp_path).ready)
        shown = " DEBUG " in found[worker].log()
    assert shown == (given["LOG_LEVEL"] == "DEBUG")


def test_no_variable_is_read_that_is_not_documented() -> None:
    """Elsewhere than in project/env.py only what it documents may be read."""
    known = {name.upper() for name in FIELDS} | OTHERS
    for folder in ("project", "aifeature", "workers", "deploy"):
        for file in (CHECKOUT / folder).rglob("*.py"):
            for name in read_in(file.read_text(encoding="utf-8")):
                assert name in known, f"{file}: {name} is in no list"


OTHERS = {
    # Of Django, and of the local stack; documented in the README.
    *("DJANGO_SETTINGS_MODULE", "LOCAL_DIR", "DEMO_PASSWORDS", "DEMO_TOKEN", "PATH"),
}


def read_in(source: str) -> Iterator[str]:
    """The names of the variables that a module reads by `environ`."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case (
                ast.Call(
                    func=ast.Attribute(attr="get", value=ast.Attribute(attr="environ")),
                    args=[ast.Constant(value=str(name)), *_],
                )
                | ast.Subscript(
                    value=ast.Attribute(attr="environ"), slice=ast.Constant(value=str(name))
                )
                | ast.Call(
                    func=ast.Name(id="_given" | "_whole" | "_addresses"),
                    args=[ast.Constant(value=str(name)), *_],
                )
            ):
                yield name
