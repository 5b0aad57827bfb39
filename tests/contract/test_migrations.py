"""Every migration leaves processes of the release before alive: expand, then contract."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from django.contrib.postgres import operations as postgres
from django.db import connection, migrations, models
from django.db.migrations import Migration
from django.db.migrations.loader import MigrationLoader
from django.db.models import Q

from tests.contract.expand_only import changed_signatures, problems

pytestmark = pytest.mark.slow

SINCE = {"aifeature": "0003_overview_indexes", "evals": "0001_runs"}
"""Up to this one nothing was released."""

RELEASED_FUNCTIONS = Path(__file__).with_name("released_functions.txt")

REVIEWED: dict[str, str] = {
    "0007_guards: AddConstraintNotValid job.job_charged_only_for_an_answer": (
        "Only aif_finish charges, and 0006 loaded it anew before."
    ),
    "0007_guards: SQL: CREATE OR REPLACE TRIGGER": "They refuse what no release has ever done.",
    "0008_guard_indexes: SQL: CREATE UNIQUE INDEX CONCURRENTLY job_requeued_once": (
        "On a column that 0006 made and old code leaves NULL."
    ),
    "0009_retention: AddConstraint featurecontrol.control_retention_in_range": (
        "On a column that it makes itself and old code leaves NULL."
    ),
    "0009_retention: SQL: CREATE OR REPLACE TRIGGER": (
        "Old code lets no closed account in; it errs only on a request of that very moment."
    ),
    "0012_spend_and_load: AddConstraint featurecontrol.control_release_at_most_100": (
        "On a column that it makes itself and old code leaves at its default."
    ),
    "0012_spend_and_load: AddConstraint featurecontrol.control_rates_positive": (
        "On columns that it makes itself and old code leaves NULL."
    ),
    "0012_spend_and_load: SQL: LOCK TABLE aifeature_spendwindow": (
        "For as long as it takes to add up the days; old code waits at its first window."
    ),
    "0012_spend_and_load: SQL: INSERT INTO aifeature_spendwindow": (
        "Months, which old code does not look at."
    ),
    "0012_spend_and_load: SQL: DROP TRIGGER IF EXISTS release_guard": "It made none before.",
    "0012_spend_and_load: SQL: CREATE OR REPLACE TRIGGER control_guard": (
        "Old code deletes and renames no control."
    ),
    "0012_spend_and_load: SQL: CREATE CONSTRAINT TRIGGER release_guard": (
        "Old code releases in admin alone, with the audit row that it asks for."
    ),
    "0021_user_spend_cap: AddConstraint featurecontrol.control_user_spend_not_negative": (
        "On a column that it makes itself and old code leaves NULL."
    ),
    "0020_own_spend: SQL: LOCK TABLE aifeature_spendwindow": (
        "For as long as it takes to add up users; old code waits at its first window."
    ),
    "0020_own_spend: SQL: INSERT INTO aifeature_spendwindow": (
        "Windows of accounts, which old code does not read."
    ),
    "0018_guards_of_bills: SQL: CREATE OR REPLACE TRIGGER": (
        "They refuse what no release has ever done, and allow one change more than before."
    ),
    "0033_truncate_guards: SQL: CREATE OR REPLACE TRIGGER truncate_guard": (
        "No release has ever emptied a table with TRUNCATE."
    ),
    "0039_copy_wait_reasons: SQL: DO": (
        "A column that old code does not read, in batches; locked rows are left to the trigger."
    ),
    "0046_evidence: SQL: CREATE OR REPLACE TRIGGER activation_guard": "On a table that it makes.",
    "0046_evidence: SQL: CREATE OR REPLACE TRIGGER evidence_guard": "On a table that it makes.",
    "0046_evidence: SQL: CREATE OR REPLACE TRIGGER truncate_guard": "On tables that it makes.",
    "0046_evidence: SQL: CREATE OR REPLACE TRIGGER prompt_guard": (
        "Old code opens features without evidence in admin alone, which is to be refused."
    ),
    "0047_guard_events: SQL: CREATE OR REPLACE TRIGGER event_guard": "On a table that it makes.",
    "0047_guard_events: SQL: CREATE OR REPLACE TRIGGER truncate_guard": "On a table that it makes.",
    "0049_stages: AddConstraint featurecontrol.control_holdout_at_most_half": (
        "On a column that it makes itself and old code leaves at its default."
    ),
    "0049_stages: SQL: CREATE OR REPLACE TRIGGER seed_guard": (
        "It fills a column that old code does not write, and refuses only another value."
    ),
    "0049_stages: SQL: CREATE OR REPLACE TRIGGER reach_guard": (
        "On columns that old code does not write."
    ),
    "0049_stages: SQL: CREATE OR REPLACE TRIGGER truncate_guard": "On tables that it makes.",
    "0049_stages: SQL: UPDATE aifeature_featurecontrol SET seed": (
        "A column that old code does not read, in one row for each feature."
    ),
    "0051_canaries: SQL: CREATE OR REPLACE TRIGGER canary_guard": "On a table that it makes.",
    "0051_canaries: SQL: CREATE OR REPLACE TRIGGER canary_step_guard": "On a table that it makes.",
    "0024_watch: SQL: CREATE OR REPLACE TRIGGER schedule_guard": (
        "Old beats write columns that it leaves free; what old admin changes of a protected check"
        " is to be refused."
    ),
    "0058_channels: SQL: CREATE OR REPLACE TRIGGER schedule_guard": (
        "The triggers are as before. They guard more checks, which old admin changes with an audit"
        " row."
    ),
}
"""By the beginning of the problem's text, the reason why the change is right all the same."""

_FUNCTIONS = """
SELECT format('%s(%s) -> %s', p.proname, pg_get_function_arguments(p.oid),
              pg_get_function_result(p.oid))
  FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
 WHERE n.nspname = current_schema() AND p.proname LIKE 'aif\\_%'
"""


def reviewed(problem: str) -> str | None:
    return next((known for known in REVIEWED if problem.startswith(known)), None)


@pytest.fixture
def loader(db: None) -> MigrationLoader:
    return MigrationLoader(connection)


def ours(loader: MigrationLoader) -> list[tuple[str, str]]:
    """The migrations of our apps after the first release, in their order."""
    found = []
    for app, since in SINCE.items():
        last = loader.graph.leaf_nodes(app)[0]
        plan = [key for key in loader.graph.forwards_plan(last) if key[0] == app]
        found += plan[plan.index((app, since)) + 1 :]
    return found


def test_every_migration_only_expands_or_has_a_reason(loader: MigrationLoader) -> None:
    found = [
        problem
        for key in ours(loader)
        for problem in problems(loader.graph.nodes[key], loader.project_state(key, at_end=False))
    ]
    assert [problem for problem in found if reviewed(problem) is None] == []
    assert {reviewed(problem) for problem in found} == set(REVIEWED), "a reason without its cause"


def test_no_function_changes_its_signature_under_the_same_name(db: None) -> None:
    assert list(changed_signatures(released(), functions())) == []


def released() -> list[str]:
    return RELEASED_FUNCTIONS.read_text().splitlines()


def functions() -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute(_FUNCTIONS)
        return [row[0] for row in cursor.fetchall()]


def test_another_form_of_a_function_is_noticed(db: None) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE OR REPLACE FUNCTION aif_presence(p_worker text, p_slots integer, p_host text)"
            " RETURNS void LANGUAGE sql AS $$ SELECT $$"
        )
    (problem,) = changed_signatures(released(), functions())
    assert problem.endswith("give the new form a new name, the old one is still called")
    with connection.cursor() as cursor:
        cursor.execute("DROP FUNCTION aif_presence(text, integer)")
    _, problem = changed_signatures(released(), functions())
    assert problem.endswith("is gone, and a process of the release before may call it")


def test_a_new_function_is_put_on_the_list(db: None) -> None:
    with connection.cursor() as cursor:
        cursor.execute("CREATE FUNCTION aif_new() RETURNS void LANGUAGE sql AS $$ SELECT $$")
    assert list(changed_signatures(released(), functions())) == [
        "aif_new() -> void: is new, add this line to the list"
    ]


def of(*made: Any, atomic: bool = True) -> Migration:
    """A migration that does this."""
    kind = type("Migration", (Migration,), {"operations": list(made), "atomic": atomic})
    migration: Migration = kind("9000_next", "aifeature")
    return migration


def index() -> models.Index:
    return models.Index(fields=["worker"], name="job_worker")


def check() -> models.CheckConstraint:
    return models.CheckConstraint(condition=Q(tries__lt=9), name="job_few_tries")


def number(**options: Any) -> Any:
    return models.IntegerField(**options)


REFUSED: dict[str, Sequence[Any]] = {
    "RemoveField": [migrations.RemoveField("job", "worker")],
    "RenameField": [migrations.RenameField("job", "worker", "runner")],
    "RenameModel": [migrations.RenameModel("Attempt", "Call")],
    "DeleteModel": [migrations.DeleteModel("Worker")],
    "AlterModelTable": [migrations.AlterModelTable("Worker", "workers")],
    "RunPython": [migrations.RunPython(migrations.RunPython.noop)],
    "needs a db_default": [migrations.AddField("job", "priority", number(default=0))],
    "generated": [
        migrations.AddField(
            "job",
            "twice",
            models.GeneratedField(
                expression=models.F("tries") * 2, output_field=number(), db_persist=True
            ),
        )
    ],
    "AddField job.mark: builds an index": [
        migrations.AddField("job", "mark", number(null=True, db_index=True))
    ],
    "AlterField job.tries: builds an index": [
        migrations.AlterField("job", "tries", models.SmallIntegerField(db_default=0, db_index=True))
    ],
    "may still write NULL": [
        migrations.AlterField("job", "started_at", models.DateTimeField(db_default="now"))
    ],
    "relies on the db_default": [migrations.AlterField("job", "epoch", number(default=0))],
    "another type": [migrations.AlterField("job", "epoch", models.TextField(db_default=""))],
    "does not hold old values": [
        migrations.AlterField("job", "worker", models.CharField(max_length=20, db_default=""))
    ],
    "AddIndex job.job_worker: locks": [migrations.AddIndex("job", index())],
    "RemoveIndex job.job_due: locks": [migrations.RemoveIndex("job", "job_due")],
    "needs atomic = False": [postgres.AddIndexConcurrently("job", index())],
    "use AddConstraintNotValid": [migrations.AddConstraint("job", check())],
    "say why old code writes none": [postgres.AddConstraintNotValid("job", check())],
    "SQL: ALTER TABLE": [migrations.RunSQL("ALTER TABLE aifeature_job DROP COLUMN worker")],
    "SQL: DROP FUNCTION": [
        migrations.RunSQL(
            "CREATE OR REPLACE FUNCTION aif_a() RETURNS void LANGUAGE sql AS $$ SELECT 1; $$;"
            " DROP FUNCTION aif_claim"
        )
    ],
}

HARMLESS: dict[str, Sequence[Any]] = {
    "a column old code need not name": [
        migrations.AddField("job", "priority", number(default=0, db_default=0)),
        migrations.AddField("attempt", "note", models.TextField(null=True)),
    ],
    "a wider text": [
        migrations.AlterField("job", "worker", models.CharField(max_length=400, db_default=""))
    ],
    "NULL is allowed now": [
        migrations.AlterField(
            "job", "worker", models.CharField(max_length=200, db_default="", null=True)
        )
    ],
    "a new table with all that belongs to it": [
        migrations.CreateModel("Note", [("id", models.BigAutoField(primary_key=True))]),
        migrations.AddField("note", "number", number()),
        migrations.AddConstraint(
            "note", models.UniqueConstraint(fields=["number"], name="note_once")
        ),
        migrations.AddIndex("note", models.Index(fields=["number"], name="note_number")),
    ],
    "a function whose body holds what would be refused": [
        migrations.RunSQL(
            "-- DROP TABLE a;\nCREATE OR REPLACE FUNCTION aif_a() RETURNS void LANGUAGE plpgsql"
            " AS $$ BEGIN DROP TABLE b; END $$;"
        )
    ],
}


@pytest.mark.parametrize("reason", REFUSED)
def test_a_change_that_breaks_an_older_process_is_named(
    loader: MigrationLoader, reason: str
) -> None:
    (problem,) = problems(of(*REFUSED[reason]), loader.project_state())
    assert reason in problem
    assert problem.startswith("9000_next: ")


@pytest.mark.parametrize("what", HARMLESS)
def test_a_change_that_only_expands_passes(loader: MigrationLoader, what: str) -> None:
    assert list(problems(of(*HARMLESS[what]), loader.project_state())) == []


def test_indexes_are_built_concurrently_outside_a_transaction(loader: MigrationLoader) -> None:
    built = of(postgres.AddIndexConcurrently("job", index()), atomic=False)
    assert list(problems(built, loader.project_state())) == []


RELEASED = "0039_copy_wait_reasons"
"""The last migration of the previous release. Databases of that release have passed it."""


def test_no_function_is_loaded_before_its_columns() -> None:
    """Each migration loads today's text, and running jobs use it before the next migration.

    A table that no SQL names may have a column with the name of another table's.
    """
    loader = MigrationLoader(None)
    plan = [
        loader.graph.nodes[key]
        for key in loader.graph.forwards_plan(loader.graph.leaf_nodes("aifeature")[0])
        if key[0] == "aifeature" and key[1] > RELEASED
    ]
    operations = [each for migration in plan for each in migration.operations]
    texts = "".join(str(each.sql) for each in operations if isinstance(each, migrations.RunSQL))
    loaded: dict[str, str] = {}
    early: list[str] = []
    for migration in plan:
        for operation in migration.operations:
            if isinstance(operation, migrations.AddField):
                if f"aifeature_{operation.model_name}" not in texts:
                    continue
                early += [
                    f"{migration.name} adds {operation.name}, which {by} has loaded a function for"
                    for text, by in loaded.items()
                    if re.search(rf"\b{operation.name}\b", text)
                ]
            elif isinstance(operation, migrations.RunSQL):
                loaded[str(operation.sql)] = migration.name
    assert plan
    assert early == []
