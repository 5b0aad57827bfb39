-- Watching of scheduled checks that are late and of queues without a worker.

-- Take the next turn at watching. Returns false if the last one began less than p_after_s seconds ago.
-- After a gap of a minute without watching, all ages count from the end of the gap, so that neither a
-- new installation nor one that was down overnight begins with alerts.
CREATE OR REPLACE FUNCTION aif_watch_turn(p_after_s double precision)
RETURNS boolean
LANGUAGE plpgsql
SET lock_timeout = '2s'
AS $$
BEGIN
    INSERT INTO aifeature_watch AS w (name) VALUES ('turn')
        ON CONFLICT (name) DO UPDATE
       SET since = CASE WHEN w.seen_at < statement_timestamp() - interval '60 seconds'
                        THEN statement_timestamp() ELSE w.since END,
           seen_at = statement_timestamp()
     WHERE w.seen_at <= statement_timestamp() - make_interval(secs => p_after_s);
    RETURN FOUND;
END
$$;

-- Return when a live worker of a queue was last seen; NULL if no row is left. A worker of `llm` without
-- threads is stopping and takes no job.
CREATE OR REPLACE FUNCTION aif_queue_alive_at(p_queue text)
RETURNS timestamptz
LANGUAGE sql STABLE AS $$
    SELECT max(w.seen_at) FROM aifeature_worker w
     WHERE w.queue = p_queue AND (w.slots > 0 OR w.queue <> 'llm');
$$;

-- Start watching new checks and queues, and store when each queue had a live worker: a worker's row is
-- deleted after an hour, and changes when the worker stops.
CREATE OR REPLACE FUNCTION aif_watch_note(p_checks text[], p_queues text[])
RETURNS void
LANGUAGE sql
SET lock_timeout = '2s'
AS $$
    INSERT INTO aifeature_watch (name)
    SELECT 'check ' || c FROM unnest(p_checks) AS c
        ON CONFLICT (name) DO NOTHING;
    INSERT INTO aifeature_watch AS w (name, alive_at)
    SELECT 'queue ' || q, aif_queue_alive_at(q) FROM unnest(p_queues) AS q
        ON CONFLICT (name) DO UPDATE
       SET seen_at = statement_timestamp(), alive_at = greatest(w.alive_at, EXCLUDED.alive_at);
$$;

-- Return for each of these checks the least of the seconds since it last completed, since the watching
-- for it began, and since the last watching gap.
CREATE OR REPLACE FUNCTION aif_check_ages(p_checks text[])
RETURNS TABLE (task text, age_s double precision, completed_at timestamptz, result text)
LANGUAGE sql STABLE
SET lock_timeout = '2s'
AS $$
    SELECT p.task,
           extract(epoch FROM statement_timestamp()
                              - greatest(w.since, t.since, c.completed_at))::double precision,
           c.completed_at, coalesce(c.result, '')
      FROM unnest(p_checks) AS p (task)
      JOIN aifeature_watch w ON w.name = 'check ' || p.task
      JOIN aifeature_watch t ON t.name = 'turn'
      LEFT JOIN aifeature_checkrun c ON c.name = p.task
     ORDER BY p.task;
$$;

-- Return the seconds for which a queue has had no live worker. NULL: no worker process has ever reported
-- to this database, so a missing worker is no problem yet.
CREATE OR REPLACE FUNCTION aif_queue_away_s(p_queue text)
RETURNS double precision
LANGUAGE sql STABLE
SET lock_timeout = '2s'
AS $$
    SELECT extract(epoch FROM statement_timestamp() - greatest(
               aif_queue_alive_at(p_queue), w.alive_at, w.since, t.since))::double precision
      FROM (SELECT) AS one
      LEFT JOIN aifeature_watch w ON w.name = 'queue ' || p_queue
      LEFT JOIN aifeature_watch t ON t.name = 'turn' AND w.name IS NOT NULL;
$$;

-- Return the load (see aif_load), and the seconds for which the `llm` queue has had no live worker.
CREATE OR REPLACE FUNCTION aif_load_and_away(p_feature text)
RETURNS TABLE (
    jobs bigint, slots integer, call_s double precision, own_call_s double precision,
    booked_s double precision, away_s double precision)
LANGUAGE sql STABLE
SET lock_timeout = '2s'
AS $$
    SELECT l.jobs, l.slots, l.call_s, l.own_call_s, l.booked_s, aif_queue_away_s('llm')
      FROM aif_load(p_feature) AS l;
$$;
