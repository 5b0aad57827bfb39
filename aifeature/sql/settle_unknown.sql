-- Settle an `unknown` or `estimated` call at the cost that a person, or a later fact, has established.
-- In the windows of its day, its spend changes from the counted amount (the bound of an unknown call,
-- the ceiling of an estimated one) to that cost. The row records who settled it, when and why. The
-- user's charge does not change. Token counts missing in `p` stay. Returns false if the call is neither.
CREATE OR REPLACE FUNCTION aif_settle_unknown(
    p_attempt uuid, p_user @user_key@, p_reason text, p jsonb)
RETURNS boolean
LANGUAGE plpgsql
SET lock_timeout = '2s'
AS $$
DECLARE
    a aifeature_attempt%ROWTYPE;
    cost CONSTANT bigint := (p->>'cost_micro')::bigint;
    more bigint;
    payer text;
BEGIN
    SELECT t.* INTO a FROM aifeature_attempt t
     WHERE t.id = p_attempt AND t.state IN ('unknown', 'estimated')
       FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    UPDATE aifeature_attempt t
       SET state = 'settled',
           cost_micro = cost,
           input_tokens = coalesce((p->>'input_tokens')::int, t.input_tokens),
           output_tokens = coalesce((p->>'output_tokens')::int, t.output_tokens),
           cache_read_tokens = coalesce((p->>'cache_read_tokens')::int, t.cache_read_tokens),
           cache_write_tokens = coalesce((p->>'cache_write_tokens')::int, t.cache_write_tokens),
           settled_by_id = p_user,
           settled_reason = p_reason,
           settled_at = statement_timestamp()
     WHERE t.id = p_attempt;
    payer := coalesce(nullif(a.budget, ''), a.feature);
    more := cost - CASE a.state WHEN 'unknown' THEN a.bound_micro ELSE a.cost_micro END;
    IF a.own_spend THEN
        PERFORM aif_move_hold_of_user(a.feature, a.user_id, a.day, 0, 0, more);
    END IF;
    PERFORM aif_move_hold('feature', payer, a.day, 0, more);
    PERFORM aif_move_hold('global', '', a.day, 0, more);
    IF cost > a.bound_micro THEN
        PERFORM aif_overrun(a.id, a.feature, a.model, a.bound_micro, cost);
    END IF;
    RETURN true;
END
$$;
