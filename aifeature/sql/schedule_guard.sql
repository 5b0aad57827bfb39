-- The checks that guard spend and jobs are protected: a change of when or whether one is sent needs its
-- audit row in the same transaction, even from a shell.

CREATE OR REPLACE FUNCTION aif_is_protected(p_task text)
RETURNS boolean
LANGUAGE sql IMMUTABLE AS $$
    SELECT p_task IN ('control.alerts', 'control.budgets', 'control.cost_spike', 'control.numbers',
                      'control.provider', 'control.reconcile', 'control.retention',
                      'control.rollout', 'control.sweep');
$$;

-- TG_ARGV[0]: the column of a periodic task that refers to this table; empty for the table of periodic
-- tasks. Beat itself writes the columns in `free`. All other columns are guarded, including those added
-- later.
CREATE OR REPLACE FUNCTION aif_guard_schedule()
RETURNS trigger
LANGUAGE plpgsql AS $$
DECLARE
    free CONSTANT text[] := ARRAY['last_run_at', 'total_run_count', 'date_changed', 'description'];
    old_row CONSTANT jsonb := to_jsonb(OLD);
    new_row jsonb;
    unexplained text;
BEGIN
    IF TG_ARGV[0] = '' THEN
        IF NOT aif_is_protected(old_row ->> 'task') THEN
            RETURN coalesce(NEW, OLD);
        END IF;
    ELSIF NOT EXISTS (SELECT 1 FROM django_celery_beat_periodictask p
                       WHERE aif_is_protected(p.task)
                         AND to_jsonb(p) -> TG_ARGV[0] = old_row -> 'id') THEN
        RETURN coalesce(NEW, OLD);
    END IF;
    new_row := CASE TG_OP WHEN 'DELETE' THEN '{}' ELSE to_jsonb(NEW) END;
    SELECT string_agg(changed.field, ', ' ORDER BY changed.field) INTO unexplained
      FROM (SELECT 'deleted' AS field WHERE TG_OP = 'DELETE'
            UNION ALL
            SELECT regexp_replace(o.key, '_id$', '') FROM jsonb_each(old_row) AS o
             WHERE TG_OP = 'UPDATE' AND o.key <> ALL (free)
               AND o.value IS DISTINCT FROM new_row -> o.key) AS changed
     WHERE NOT EXISTS (
           SELECT 1 FROM aifeature_controlchange c
            WHERE c.feature = '_schedule' AND c.field = changed.field
              AND c.at >= transaction_timestamp()
              AND c.figures ->> 'row' = TG_TABLE_NAME || ' ' || (old_row ->> 'id')
              AND btrim(c.reason) <> '' AND (c.user_id IS NOT NULL OR c.check_name = 'beat'));
    IF unexplained IS NOT NULL THEN
        PERFORM aif_refuse(TG_TABLE_NAME, coalesce(old_row ->> 'name', old_row ->> 'id'),
            'changing ' || unexplained,
            'It sends a protected check. Change it in admin, under Periodic tasks, with a reason.');
    END IF;
    RETURN coalesce(NEW, OLD);
END
$$;

CREATE OR REPLACE TRIGGER schedule_guard
    BEFORE UPDATE OR DELETE ON django_celery_beat_periodictask
    FOR EACH ROW EXECUTE FUNCTION aif_guard_schedule('');
CREATE OR REPLACE TRIGGER schedule_guard
    BEFORE UPDATE OR DELETE ON django_celery_beat_intervalschedule
    FOR EACH ROW EXECUTE FUNCTION aif_guard_schedule('interval_id');
CREATE OR REPLACE TRIGGER schedule_guard
    BEFORE UPDATE OR DELETE ON django_celery_beat_crontabschedule
    FOR EACH ROW EXECUTE FUNCTION aif_guard_schedule('crontab_id');
CREATE OR REPLACE TRIGGER schedule_guard
    BEFORE UPDATE OR DELETE ON django_celery_beat_clockedschedule
    FOR EACH ROW EXECUTE FUNCTION aif_guard_schedule('clocked_id');
CREATE OR REPLACE TRIGGER schedule_guard
    BEFORE UPDATE OR DELETE ON django_celery_beat_solarschedule
    FOR EACH ROW EXECUTE FUNCTION aif_guard_schedule('solar_id');
