-- The spend windows. All callers touch them in one order (user, feature, global), so that no two
-- transactions wait for each other, and the row all share is locked last and shortest.

-- Reserve in one window. Refuses with SQLSTATE AIF01 (the window's spend alone leaves no room:
-- waiting does not help) or AIF02 (only what others hold is in the way: waiting may help).
CREATE OR REPLACE FUNCTION aif_hold(
    p_scope text, p_key text, p_day date, p_micro bigint, p_cap bigint)
RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    already bigint;
BEGIN
    INSERT INTO aifeature_spendwindow AS w (scope, key, day, held_micro)
    SELECT p_scope, p_key, p_day, p_micro WHERE p_cap IS NULL OR p_micro <= p_cap
        ON CONFLICT (scope, key, day) DO UPDATE
       SET held_micro = w.held_micro + p_micro
     WHERE p_cap IS NULL OR w.spent_micro + w.held_micro + p_micro <= p_cap;
    IF FOUND THEN
        RETURN;
    END IF;
    SELECT w.spent_micro INTO already FROM aifeature_spendwindow w
     WHERE w.scope = p_scope AND w.key = p_key AND w.day = p_day;
    RAISE EXCEPTION '%', p_scope
        USING ERRCODE = CASE WHEN coalesce(already, 0) + p_micro > p_cap
                             THEN 'AIF01' ELSE 'AIF02' END;
END
$$;

-- Give a reservation back and count what it became.
CREATE OR REPLACE FUNCTION aif_move_hold(
    p_scope text, p_key text, p_day date, p_held bigint, p_spent bigint)
RETURNS void
LANGUAGE sql AS $$
    UPDATE aifeature_spendwindow
       SET held_micro = held_micro - p_held, spent_micro = spent_micro + p_spent
     WHERE scope = p_scope AND key = p_key AND day = p_day;
$$;
