-- Store a job, unless a kill switch stops its user. One statement, so a slow client cannot delay the
-- commit after the check of the switch. Outcomes: stored; closed (the user's account; the lock waits
-- for a transaction that is closing it, as the table's trigger does); paused; exists (a job with the
-- user's idempotency key, or another requeue of the same job).
-- `p_publish`: the job may be sent to the broker immediately if there is room. `p_at_once`: the most
-- jobs of the user in flight; NULL is no limit. `p_options`: what the guards decided, or NULL.
-- `p_events`: what the guards found, stored with the job; NULL is nothing.
CREATE OR REPLACE FUNCTION aif_submit_checked(
    p_id uuid, p_user @user_key@, p_feature text, p_input jsonb, p_key text, p_digest text,
    p_requeued_from uuid, p_deadline_s double precision, p_publish boolean, p_at_once integer,
    p_options jsonb, p_events jsonb)
RETURNS TABLE (outcome text, stored_at timestamptz, ends_at timestamptz, marked_at timestamptz)
LANGUAGE plpgsql
SET lock_timeout = '2s'
AS $$
DECLARE
    now_ timestamptz := statement_timestamp();
BEGIN
    PERFORM 1 FROM @user_table@ u WHERE u.@user_id@ = p_user AND u.is_active FOR KEY SHARE;
    IF NOT FOUND THEN
        outcome := 'closed';
    ELSIF aif_paused(p_feature, p_user) THEN
        outcome := 'paused';
    ELSE
        INSERT INTO aifeature_job AS j (
               id, user_id, feature, status, options, input, idempotency_key, request_digest,
               requeued_from_id, created_at, run_at, deadline_at, published_at)
        VALUES (p_id, p_user, p_feature, 'queued', p_options, p_input, p_key, p_digest,
                p_requeued_from, now_, now_, now_ + make_interval(secs => p_deadline_s),
                CASE WHEN p_publish THEN aif_mark_of_user(p_feature, p_user, p_at_once) END)
            ON CONFLICT DO NOTHING
        RETURNING 'stored', j.created_at, j.deadline_at, j.published_at
             INTO outcome, stored_at, ends_at, marked_at;
        IF outcome IS NULL THEN
            outcome := 'exists';
        ELSIF p_events IS NOT NULL THEN
            PERFORM aif_record_guard_events(p_user, p_feature, p_id, p_events);
        END IF;
    END IF;
    RETURN NEXT;
END
$$;

-- The same without guards, for processes of the previous release.
CREATE OR REPLACE FUNCTION aif_submit(
    p_id uuid, p_user @user_key@, p_feature text, p_input jsonb, p_key text, p_digest text,
    p_requeued_from uuid, p_deadline_s double precision, p_publish boolean, p_at_once integer)
RETURNS TABLE (outcome text, stored_at timestamptz, ends_at timestamptz, marked_at timestamptz)
LANGUAGE sql
SET lock_timeout = '2s'
AS $$
    SELECT * FROM aif_submit_checked(
        p_id, p_user, p_feature, p_input, p_key, p_digest, p_requeued_from, p_deadline_s, p_publish,
        p_at_once, NULL, NULL);
$$;

-- Store a job of an evaluation, published later by the dispatcher. `p_key` makes a repetition harmless.
-- Outcomes: stored, exists (the returned job), closed.
CREATE OR REPLACE FUNCTION aif_submit_other(
    p_id uuid, p_user @user_key@, p_feature text, p_input jsonb, p_key text, p_origin text,
    p_options jsonb, p_deadline_s double precision)
RETURNS TABLE (outcome text, job uuid)
LANGUAGE plpgsql
SET lock_timeout = '2s'
AS $$
DECLARE
    now_ timestamptz := statement_timestamp();
BEGIN
    PERFORM 1 FROM @user_table@ u WHERE u.@user_id@ = p_user AND u.is_active FOR KEY SHARE;
    IF NOT FOUND THEN
        outcome := 'closed';
    ELSE
        INSERT INTO aifeature_job AS j (
               id, user_id, feature, status, origin, options, input, idempotency_key, created_at,
               run_at, deadline_at)
        VALUES (p_id, p_user, p_feature, 'queued', p_origin, p_options, p_input, p_key, now_,
                now_, now_ + make_interval(secs => p_deadline_s))
            ON CONFLICT DO NOTHING
        RETURNING 'stored', j.id INTO outcome, job;
        IF outcome IS NULL THEN
            SELECT 'exists', j.id INTO outcome, job FROM aifeature_job j
             WHERE j.user_id = p_user AND j.idempotency_key = p_key;
        END IF;
    END IF;
    RETURN NEXT;
END
$$;
