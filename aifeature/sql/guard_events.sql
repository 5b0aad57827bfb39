-- The audit log of the guards (aifeature_guardevent).

-- Store events of one request. They get the same time, by which those of a request without a job belong
-- together.
CREATE OR REPLACE FUNCTION aif_record_guard_events(
    p_user @user_key@, p_feature text, p_job uuid, p_events jsonb)
RETURNS void
LANGUAGE sql
SET lock_timeout = '2s'
AS $$
    INSERT INTO aifeature_guardevent (
           at, user_id, feature, job_id, stage, guard, category, action, count, evidence)
    SELECT statement_timestamp(), p_user, p_feature, p_job, e.stage, e.guard, e.category, e.action,
           e.count, e.evidence
      FROM jsonb_to_recordset(p_events)
           AS e (stage text, guard text, category text, action text, count integer, evidence text);
$$;

-- Return the number of the user's requests of this UTC day with an injection flag.
CREATE OR REPLACE FUNCTION aif_flagged_today(p_user @user_key@)
RETURNS TABLE (requests integer, now_ timestamptz)
LANGUAGE sql STABLE
SET lock_timeout = '2s'
AS $$
    SELECT count(DISTINCT coalesce(e.job_id::text, e.at::text))::integer, statement_timestamp()
      FROM aifeature_guardevent e
     WHERE e.user_id = p_user AND e.at >= date_trunc('day', statement_timestamp(), 'UTC')
       AND e.stage = 'input' AND e.guard = 'injection'
       AND e.action IN ('flagged', 'tightened', 'refused');
$$;

-- Delete up to `p_limit` events older than `p_days` days, oldest first. Returns their number. Locked rows
-- are left to the next call.
CREATE OR REPLACE FUNCTION aif_delete_guard_events(p_days integer, p_limit integer)
RETURNS integer
LANGUAGE plpgsql
SET lock_timeout = '2s'
AS $$
DECLARE
    before timestamptz := statement_timestamp() - make_interval(days => p_days);
    done integer;
BEGIN
    PERFORM set_config('aifeature.guard_events_before', before::text, true);
    DELETE FROM aifeature_guardevent
     WHERE id = ANY (ARRAY(
           SELECT e.id FROM aifeature_guardevent e
            WHERE e.at < before
            ORDER BY e.at
            LIMIT p_limit
              FOR UPDATE SKIP LOCKED));
    GET DIAGNOSTICS done = ROW_COUNT;
    PERFORM set_config('aifeature.guard_events_before', '', true);
    RETURN done;
END
$$;

-- Refuse every change but two: an erasure blanks the evidence, and aif_delete_guard_events deletes. It
-- deletes nothing younger than 30 days, the shortest retention.
CREATE OR REPLACE FUNCTION aif_guard_event()
RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        IF OLD.at < nullif(current_setting('aifeature.guard_events_before', true), '')::timestamptz
           AND OLD.at < statement_timestamp() - interval '30 days' THEN
            RETURN OLD;
        END IF;
        PERFORM aif_refuse(TG_TABLE_NAME, OLD.id::text, 'deleting it',
            'Only retention deletes old rows of the audit trail.');
    ELSIF NEW.evidence <> ''
          OR NOT aif_is_closed(coalesce(OLD.user_id, (SELECT j.user_id FROM aifeature_job j
                                                       WHERE j.id = OLD.job_id)))
          OR to_jsonb(OLD) - 'evidence' IS DISTINCT FROM to_jsonb(NEW) - 'evidence' THEN
        PERFORM aif_refuse_change(TG_TABLE_NAME, OLD.id::text, to_jsonb(OLD), to_jsonb(NEW),
            'The audit trail is only added to; an erasure may empty the evidence of a closed account.');
    END IF;
    RETURN NEW;
END
$$;

CREATE OR REPLACE TRIGGER event_guard
    BEFORE UPDATE OR DELETE ON aifeature_guardevent
    FOR EACH ROW EXECUTE FUNCTION aif_guard_event();
