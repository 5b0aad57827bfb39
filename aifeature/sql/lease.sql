-- For everything one process runs, in one statement: is it still ours, should it stop? A lease is
-- written only when a third of it has passed, so that beats are cheap however often they come.
-- A job that does not come back is no longer this process's.
CREATE OR REPLACE FUNCTION aif_heartbeat(
    p_jobs uuid[], p_epochs integer[], p_lease_s double precision)
RETURNS TABLE (job uuid, epoch integer, cancel_requested boolean, paused boolean)
LANGUAGE sql AS $$
    WITH mine AS (
        SELECT * FROM unnest(p_jobs, p_epochs) AS u (id, epoch)
    ), extended AS (
        UPDATE aifeature_job t
           SET lease_until = statement_timestamp() + make_interval(secs => p_lease_s)
          FROM mine
         WHERE t.id = mine.id AND t.epoch = mine.epoch AND t.status = 'running'
           AND t.lease_until < statement_timestamp() + make_interval(secs => p_lease_s * 2 / 3)
    )
    SELECT t.id, t.epoch, t.cancel_requested_at IS NOT NULL,
           aif_paused(t.feature, t.user_id)
      FROM aifeature_job t JOIN mine ON t.id = mine.id AND t.epoch = mine.epoch
     WHERE t.status = 'running';
$$;

