from django.db import migrations


class Migration(migrations.Migration):
    """Copy the reasons of waiting jobs into their new column (0034).

    In batches with a commit after each: one statement for a long queue would hold the rows for
    longer than a lease. A locked row gets its reason from the trigger `job_guard` when it changes.
    """

    atomic = False
    dependencies = [("aifeature", "0038_plain_help_texts")]
    operations = [
        migrations.RunSQL(
            """
            DO $$
            DECLARE
                copied integer;
            BEGIN
                LOOP
                    UPDATE aifeature_job t SET wait_reason = t.error_code
                     WHERE t.id IN (SELECT j.id FROM aifeature_job j
                                     WHERE j.status IN ('queued', 'running')
                                       AND j.error_code <> '' AND j.wait_reason = ''
                                     LIMIT 500 FOR NO KEY UPDATE SKIP LOCKED);
                    GET DIAGNOSTICS copied = ROW_COUNT;
                    COMMIT;
                    EXIT WHEN copied = 0;
                END LOOP;
            END
            $$""",
            migrations.RunSQL.noop,
        ),
    ]
