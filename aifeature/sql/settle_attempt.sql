-- Close one open call and move its reservation from held to spent, in the windows of the day it was
-- made. The spend of an `estimated` call is its ceiling, of an `unknown` one its bound. The user's own
-- spend counts settled calls and calls ended by the user's own cancellation (`ended_by` in `p`).
-- The user is charged the cost if the answer was accepted, else `p_delivered_micro`, the price of the
-- text they were shown, but never more than the spend.
-- A call with a budget of its own, such as that of evaluations, is never charged.
-- Returns the charge; NULL if the call was already closed. Not fenced: callers check the epoch first.
CREATE OR REPLACE FUNCTION aif_close_attempt(
    p_attempt uuid, p jsonb, p_accepted boolean, p_delivered_micro bigint)
RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    a aifeature_attempt%ROWTYPE;
    spend bigint;
    charge bigint;
    payer text;
BEGIN
    UPDATE aifeature_attempt t
       SET state = p->>'state',
           own_spend = t.user_id IS NOT NULL AND (
               p->>'state' = 'settled'
               OR p->>'state' IN ('estimated', 'unknown') AND coalesce(p->>'ended_by', '') = 'user'
                  -- A worker reads the cancellation request, but not its author.
                  AND EXISTS (SELECT 1 FROM aifeature_job j
                               WHERE j.id = t.job_id AND j.cancelled_by = 'user')),
           output = coalesce(p->>'output', ''),
           input_tokens = coalesce((p->>'input_tokens')::int, 0),
           output_tokens = coalesce((p->>'output_tokens')::int, 0),
           cache_read_tokens = coalesce((p->>'cache_read_tokens')::int, 0),
           cache_write_tokens = coalesce((p->>'cache_write_tokens')::int, 0),
           cost_micro = coalesce((p->>'cost_micro')::bigint, 0),
           cache_saved_micro = coalesce((p->>'cache_saved_micro')::bigint, 0),
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
        RETURN NULL;
    END IF;
    payer := coalesce(nullif(a.budget, ''), a.feature);
    spend := CASE a.state WHEN 'unknown' THEN a.bound_micro ELSE a.cost_micro END;
    charge := CASE WHEN a.budget <> '' THEN 0
                   WHEN p_accepted THEN a.cost_micro
                   ELSE least(coalesce(p_delivered_micro, 0), spend) END;
    IF a.user_id IS NOT NULL THEN
        PERFORM aif_move_hold_of_user(a.feature, a.user_id, a.day, a.bound_micro, charge,
                                      CASE WHEN a.own_spend THEN spend ELSE 0 END);
    END IF;
    PERFORM aif_move_hold('feature', payer, a.day, a.bound_micro, spend);
    PERFORM aif_move_hold('global', '', a.day, a.bound_micro, spend);
    IF a.cost_micro > a.bound_micro THEN
        PERFORM aif_overrun(a.id, a.feature, a.model, a.bound_micro, a.cost_micro);
    END IF;
    RETURN charge;
END
$$;

-- The same for a call that is charged in full or not at all. Returns false if it was already closed.
CREATE OR REPLACE FUNCTION aif_settle_attempt(p_attempt uuid, p jsonb, p_charge boolean)
RETURNS boolean
LANGUAGE plpgsql AS $$
BEGIN
    RETURN aif_close_attempt(p_attempt, p, p_charge, 0) IS NOT NULL;
END
$$;

-- Close the calls of a job that are still open, although no run waits for them, as `unknown`.
CREATE OR REPLACE FUNCTION aif_close_unseen(p_job uuid, p_error_code text)
RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    orphan uuid;
BEGIN
    FOR orphan IN
        SELECT a.id FROM aifeature_attempt a WHERE a.job_id = p_job AND a.state = 'started'
         ORDER BY a.day, a.number  -- the windows of an earlier day are locked first
    LOOP
        PERFORM aif_settle_attempt(
            orphan, jsonb_build_object('state', 'unknown', 'error_code', p_error_code), false);
    END LOOP;
END
$$;
