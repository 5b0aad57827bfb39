-- The spend windows. All callers touch them in one order (user, account, feature, global, month), so
-- that no two transactions wait for each other, and the rows all share are locked last and shortest.
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

-- Reserve in the two windows of a user: of the feature (`user`) and of all features (`account`). A
-- window counts charges and, apart from them, the user's own spend; each has its cap. Refuses as
-- aif_hold does; the message is `user` (charges), `user_spend` or `account`.
CREATE OR REPLACE FUNCTION aif_hold_of_user(
    p_feature text, p_user @user_key@, p_day date, p_micro bigint,
    p_charge_cap bigint, p_spend_cap bigint, p_account_cap bigint)
RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    w aifeature_spendwindow%ROWTYPE;
BEGIN
    INSERT INTO aifeature_spendwindow AS t (scope, key, day, held_micro)
    SELECT 'user', p_feature || ':' || p_user, p_day, p_micro
     WHERE (p_charge_cap IS NULL OR p_micro <= p_charge_cap)
       AND (p_spend_cap IS NULL OR p_micro <= p_spend_cap)
        ON CONFLICT (scope, key, day) DO UPDATE
       SET held_micro = t.held_micro + p_micro
     WHERE (p_charge_cap IS NULL OR t.spent_micro + t.held_micro + p_micro <= p_charge_cap)
       AND (p_spend_cap IS NULL OR t.own_spend_micro + t.held_micro + p_micro <= p_spend_cap);
    IF NOT FOUND THEN
        SELECT * INTO w FROM aifeature_spendwindow t
         WHERE t.scope = 'user' AND t.key = p_feature || ':' || p_user AND t.day = p_day;
        IF coalesce(w.spent_micro, 0) + p_micro > p_charge_cap THEN
            RAISE EXCEPTION 'user' USING ERRCODE = 'AIF01';
        ELSIF coalesce(w.own_spend_micro, 0) + p_micro > p_spend_cap THEN
            RAISE EXCEPTION 'user_spend' USING ERRCODE = 'AIF01';
        END IF;
        RAISE EXCEPTION 'user' USING ERRCODE = 'AIF02';
    END IF;

    INSERT INTO aifeature_spendwindow AS t (scope, key, day, held_micro)
    SELECT 'account', p_user::text, p_day, p_micro
     WHERE p_account_cap IS NULL OR p_micro <= p_account_cap
        ON CONFLICT (scope, key, day) DO UPDATE
       SET held_micro = t.held_micro + p_micro
     WHERE p_account_cap IS NULL OR t.own_spend_micro + t.held_micro + p_micro <= p_account_cap;
    IF NOT FOUND THEN
        SELECT * INTO w FROM aifeature_spendwindow t
         WHERE t.scope = 'account' AND t.key = p_user::text AND t.day = p_day;
        RAISE EXCEPTION 'account'
            USING ERRCODE = CASE WHEN coalesce(w.own_spend_micro, 0) + p_micro > p_account_cap
                                 THEN 'AIF01' ELSE 'AIF02' END;
    END IF;
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

-- Give a reservation back and count what it became. A window that is wrong must not cost a job its
-- result, which is paid for; the reconciler puts it right.
-- In PL/pgSQL, which keeps its plans: SQL functions are planned anew in each transaction.
CREATE OR REPLACE FUNCTION aif_move_hold(
    p_scope text, p_key text, p_day date, p_held bigint, p_spent bigint)
RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    UPDATE aifeature_spendwindow w
       SET held_micro = greatest(0, w.held_micro - p_held),
           spent_micro = greatest(0, w.spent_micro + p_spent)
     WHERE w.scope = p_scope AND w.key = p_key AND w.day = p_day;
    IF p_scope = 'global' THEN
        UPDATE aifeature_spendwindow w
           SET held_micro = greatest(0, w.held_micro - p_held),
               spent_micro = greatest(0, w.spent_micro + p_spent)
         WHERE w.scope = 'month' AND w.key = '' AND w.day = aif_month(p_day);
    END IF;
END
$$;

-- The same in the two windows of a user: what is no longer held, the charge, and the own spend.
CREATE OR REPLACE FUNCTION aif_move_hold_of_user(
    p_feature text, p_user @user_key@, p_day date, p_held bigint, p_charge bigint, p_own bigint)
RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    UPDATE aifeature_spendwindow w
       SET held_micro = greatest(0, w.held_micro - p_held),
           spent_micro = greatest(0, w.spent_micro + p_charge),
           own_spend_micro = greatest(0, w.own_spend_micro + p_own)
     WHERE w.scope = 'user' AND w.key = p_feature || ':' || p_user AND w.day = p_day;
    UPDATE aifeature_spendwindow w
       SET held_micro = greatest(0, w.held_micro - p_held),
           spent_micro = greatest(0, w.spent_micro + p_charge),
           own_spend_micro = greatest(0, w.own_spend_micro + p_own)
     WHERE w.scope = 'account' AND w.key = p_user::text AND w.day = p_day;
END
$$;
