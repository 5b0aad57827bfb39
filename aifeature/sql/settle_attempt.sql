-- Close one open call and move its reservation from held to spent, in the windows of the day it
-- was made. `unknown` stays counted at its upper bound. The user's window counts charges only.
-- Not fenced: callers check the epoch first. Returns false when the call was closed already.
CREATE OR REPLACE FUNCTION aif_settle_attempt(p_attempt uuid, p jsonb, p_charge boolean)
RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
    a aifeature_attempt%ROWTYPE;
    spend bigint;
BEGIN
    UPDATE aifeature_attempt t
       SET state = p->>'state',
           output = coalesce(p->>'output', ''),
           input_tokens = coalesce((p->>'input_tokens')::int, 0),
           output_tokens = coalesce((p->>'output_tokens')::int, 0),
           cache_read_tokens = coalesce((p->>'cache_read_tokens')::int, 0),
           cache_write_tokens = coalesce((p->>'cache_write_tokens')::int, 0),
           cost_micro = coalesce((p->>'cost_micro')::bigint, 0),
           latency_ms = (p->>'latency_ms')::int,
           ttft_ms = (p->>'ttft_ms')::int,
           stop_reason = coalesce(p->>'stop_reason', ''),
           request_id = coalesce(p->>'request_id', ''),
           error_code = coalesce(p->>'error_code', ''),
           error_detail = coalesce(p->>'error_detail', ''),
           ended_at = statement_timestamp()
     WHERE t.id = p_attempt AND t.state = 'started'
    RETURNING t.* INTO a;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    spend := CASE a.state WHEN 'unknown' THEN a.bound_micro ELSE a.cost_micro END;
    -- A call of no user, an eval say, finds no such window.
    PERFORM aif_move_hold('user', a.feature || ':' || a.user_id, a.day, a.bound_micro,
                          CASE WHEN p_charge THEN a.cost_micro ELSE 0 END);
    PERFORM aif_move_hold('feature', a.feature, a.day, a.bound_micro, spend);
    PERFORM aif_move_hold('global', '', a.day, a.bound_micro, spend);
    IF a.cost_micro > a.bound_micro THEN
        PERFORM aif_overrun(a.id, a.feature, a.model, a.bound_micro, a.cost_micro);
    END IF;
    RETURN true;
END
$$;

-- Calls of a job that are still open although nobody waits for them any more become `unknown`.
CREATE OR REPLACE FUNCTION aif_close_unseen(p_job uuid, p_error_code text)
RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    orphan uuid;
BEGIN
    FOR orphan IN
        SELECT a.id FROM aifeature_attempt a WHERE a.job_id = p_job AND a.state = 'started'
         ORDER BY a.number  -- everybody's order, for the windows are locked on the way
    LOOP
        PERFORM aif_settle_attempt(
            orphan, jsonb_build_object('state', 'unknown', 'error_code', p_error_code), false);
    END LOOP;
END
$$;
