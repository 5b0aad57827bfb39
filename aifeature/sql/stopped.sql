-- Effects of a kill switch on queued and running jobs, in batches. The stop itself does not depend on
-- them: no call begins, and calls in flight are aborted, even if these functions never run.

-- Return what a switch would stop now, for the confirmation before it is pulled.
CREATE OR REPLACE FUNCTION aif_would_stop(p_feature text)
RETURNS TABLE (running bigint, queued bigint, held_micro bigint)
LANGUAGE sql STABLE
SET lock_timeout = '2s'
AS $$
    SELECT (SELECT count(*) FROM aifeature_job j WHERE j.status = 'running'
               AND (p_feature = '_everything' OR j.feature = p_feature)),
           (SELECT count(*) FROM aifeature_job j WHERE j.status = 'queued'
               AND (p_feature = '_everything' OR j.feature = p_feature)),
           coalesce((SELECT sum(w.held_micro)::bigint FROM aifeature_spendwindow w
                      WHERE w.held_micro > 0
                        AND w.scope = CASE p_feature WHEN '_everything' THEN 'global'
                                                     ELSE 'feature' END
                        AND (p_feature = '_everything' OR w.key = p_feature)), 0);
$$;

-- For features stopped with `cancel`, end jobs that are queued or need approval, and request the
-- cancellation of running jobs.
CREATE OR REPLACE FUNCTION aif_cancel_stopped(p_limit integer, p_message text)
RETURNS SETOF uuid
LANGUAGE sql
SET lock_timeout = '500ms'
AS $$
    WITH stopped AS (
        SELECT c.feature FROM aifeature_featurecontrol c
         WHERE c.killed AND c.kill_mode = 'cancel'
    ), chosen AS (
        SELECT j.id FROM aifeature_job j
         WHERE j.status IN ('queued', 'running', 'needs_approval')
           AND j.cancel_requested_at IS NULL
           AND EXISTS (SELECT 1 FROM stopped s WHERE s.feature IN (j.feature, '_everything'))
         LIMIT p_limit FOR NO KEY UPDATE SKIP LOCKED
    )
    UPDATE aifeature_job t
       SET cancel_requested_at = statement_timestamp(),
           cancelled_by = 'switch',
           status = CASE t.status WHEN 'running' THEN t.status ELSE 'cancelled' END,
           error_code = CASE t.status WHEN 'running' THEN t.error_code ELSE 'cancelled' END,
           error_message = p_message,
           finished_at = CASE t.status WHEN 'running' THEN NULL ELSE statement_timestamp() END
      FROM chosen
     WHERE t.id = chosen.id
    RETURNING t.id;
$$;

-- Set the pause message on queued jobs of stopped features, and clear it after the release.
CREATE OR REPLACE FUNCTION aif_tell_paused(p_limit integer, p_message text)
RETURNS integer
LANGUAGE plpgsql
SET lock_timeout = '500ms'
AS $$
DECLARE
    -- Users are checked one by one only if a switch is released for some users.
    stopped text[] := (SELECT array_agg(c.feature) FROM aifeature_featurecontrol c WHERE c.killed);
    partly boolean := EXISTS (SELECT 1 FROM aifeature_featurecontrol c
                             WHERE NOT c.killed AND c.release_percent < 100);
    told integer := 0;
    more integer := 0;
BEGIN
    IF stopped IS NOT NULL OR partly THEN
        UPDATE aifeature_job t SET wait_reason = 'feature_paused', error_message = p_message
         WHERE t.id = ANY (ARRAY(
            SELECT j.id FROM aifeature_job j
             WHERE j.status = 'queued' AND j.wait_reason <> 'feature_paused'
               AND CASE WHEN j.feature = ANY (stopped) OR '_everything' = ANY (stopped)
                        THEN true
                        ELSE partly AND aif_paused(j.feature, j.user_id) END
             LIMIT p_limit FOR NO KEY UPDATE SKIP LOCKED));
        GET DIAGNOSTICS told = ROW_COUNT;
    END IF;
    IF stopped IS NULL OR NOT '_everything' = ANY (stopped) THEN
        UPDATE aifeature_job t SET wait_reason = '', error_message = ''
         WHERE t.id = ANY (ARRAY(
            SELECT j.id FROM aifeature_job j
             WHERE j.status = 'queued' AND j.wait_reason = 'feature_paused'
               AND CASE WHEN j.feature = ANY (stopped) THEN false
                        ELSE NOT partly OR NOT aif_paused(j.feature, j.user_id) END
             LIMIT p_limit FOR NO KEY UPDATE SKIP LOCKED));
        GET DIAGNOSTICS more = ROW_COUNT;
    END IF;
    RETURN told + more;
END
$$;
