-- The spend windows. All callers touch them in one order (user, feature, global, month), so that no
-- two transactions wait for each other, and the rows all share are locked last and shortest.
-- Whatever moves in a day of everything moves in its month too.

-- Where the month's window stands: at its first day.
CREATE OR REPLACE FUNCTION aif_month(p_day date)
RETURNS date
LANGUAGE sql IMMUTABLE AS $$
    SELECT date_trunc('month', p_day)::date;
$$;

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
        IF p_scope = 'global' THEN
            INSERT INTO aifeature_spendwindow AS w (scope, key, day, held_micro)
            VALUES ('month', '', aif_month(p_day), p_micro)
                ON CONFLICT (scope, key, day) DO UPDATE SET held_micro = w.held_micro + p_micro;
        END IF;
        RETURN;
    END IF;
    SELECT w.spent_micro INTO already FROM aifeature_spendwindow w
     WHERE w.scope = p_scope AND w.key = p_key AND w.day = p_day;
    RAISE EXCEPTION '%', p_scope
        USING ERRCODE = CASE WHEN coalesce(already, 0) + p_micro > p_cap
                             THEN 'AIF01' ELSE 'AIF02' END;
END
$$;

-- Whether the month, in which a reservation was just made, keeps within its cap; else refused as by
-- aif_hold. Its row is locked by then, so no two callers can pass where only one may.
CREATE OR REPLACE FUNCTION aif_check_month(p_day date, p_micro bigint, p_cap bigint)
RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    m aifeature_spendwindow%ROWTYPE;
BEGIN
    SELECT * INTO m FROM aifeature_spendwindow w
     WHERE w.scope = 'month' AND w.key = '' AND w.day = aif_month(p_day);
    IF m.spent_micro + m.held_micro > p_cap THEN
        RAISE EXCEPTION 'month'
            USING ERRCODE = CASE WHEN m.spent_micro + p_micro > p_cap THEN 'AIF01' ELSE 'AIF02' END;
    END IF;
END
$$;

-- Give a reservation back and count what it became.
-- In PL/pgSQL, which keeps its plans: SQL functions are planned anew in each transaction.
CREATE OR REPLACE FUNCTION aif_move_hold(
    p_scope text, p_key text, p_day date, p_held bigint, p_spent bigint)
RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    UPDATE aifeature_spendwindow w
       SET held_micro = w.held_micro - p_held, spent_micro = w.spent_micro + p_spent
     WHERE w.scope = p_scope AND w.key = p_key AND w.day = p_day;
    IF p_scope = 'global' THEN
        -- A month that is wrong must not cost a job its result; the reconciler puts it right.
        UPDATE aifeature_spendwindow w
           SET held_micro = greatest(0, w.held_micro - p_held),
               spent_micro = greatest(0, w.spent_micro + p_spent)
         WHERE w.scope = 'month' AND w.key = '' AND w.day = aif_month(p_day);
    END IF;
END
$$;
