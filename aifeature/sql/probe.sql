-- Write the time and return it. All readiness probes together write once a second; a read-only server
-- refuses the statement even without a write.
CREATE OR REPLACE FUNCTION aif_probe()
RETURNS timestamptz
LANGUAGE plpgsql
SET lock_timeout = '1s'
AS $$
BEGIN
    INSERT INTO aifeature_probe AS p (id) VALUES (1)
        ON CONFLICT (id) DO UPDATE SET written_at = statement_timestamp()
     WHERE p.written_at <= statement_timestamp() - interval '1 second';
    RETURN (SELECT p.written_at FROM aifeature_probe p WHERE p.id = 1);
END
$$;

-- Test whether there is room for a submission of a usual size: write it, and undo the write.
CREATE OR REPLACE FUNCTION aif_probe_room(p_filler text)
RETURNS void
LANGUAGE plpgsql
SET lock_timeout = '1s'
AS $$
BEGIN
    INSERT INTO aifeature_probe (id, filler) VALUES (-pg_backend_pid(), p_filler);
    RAISE EXCEPTION 'undone' USING ERRCODE = 'triggered_action_exception';
EXCEPTION WHEN triggered_action_exception THEN
    RETURN;
END
$$;
