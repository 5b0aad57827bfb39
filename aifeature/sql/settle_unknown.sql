-- Settle a call whose end nobody saw: a person, or a later fact, knows what it cost. Its spend goes
-- from the upper bound to that cost in the windows of its day, and the row says who, when and why.
-- The user's window and charge are not touched. Counts of tokens that `p` leaves out stay. False when
-- the call is not, or no longer, unknown.
CREATE OR REPLACE FUNCTION aif_settle_unknown(
    p_attempt uuid, p_user bigint, p_reason text, p jsonb)
RETURNS boolean
LANGUAGE plpgsql
SET lock_timeout = '2s'
AS $$
DECLARE
    a aifeature_attempt%ROWTYPE;
BEGIN
    UPDATE aifeature_attempt t
       SET state = 'settled',
           cost_micro = (p->>'cost_micro')::bigint,
           input_tokens = coalesce((p->>'input_tokens')::int, t.input_tokens),
           output_tokens = coalesce((p->>'output_tokens')::int, t.output_tokens),
           cache_read_tokens = coalesce((p->>'cache_read_tokens')::int, t.cache_read_tokens),
           cache_write_tokens = coalesce((p->>'cache_write_tokens')::int, t.cache_write_tokens),
           settled_by_id = p_user,
           settled_reason = p_reason,
           settled_at = statement_timestamp()
     WHERE t.id = p_attempt AND t.state = 'unknown'
    RETURNING t.* INTO a;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    PERFORM aif_move_hold('feature', a.feature, a.day, 0, a.cost_micro - a.bound_micro);
    PERFORM aif_move_hold('global', '', a.day, 0, a.cost_micro - a.bound_micro);
    IF a.cost_micro > a.bound_micro THEN
        PERFORM aif_overrun(a.id, a.feature, a.model, a.bound_micro, a.cost_micro);
    END IF;
    RETURN true;
END
$$;
