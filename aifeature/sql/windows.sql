-- The spend windows. All callers lock them in one order (user, account, feature, global, month), which
-- avoids deadlocks and locks the shared rows last and for the shortest time. A change of the global
-- day window also changes its month.

-- Return the day of the month's window: its first.
CREATE OR REPLACE FUNCTION aif_month(p_day date)
RETURNS date
LANGUAGE sql IMMUTABLE AS $$
    SELECT date_trunc('month', p_day)::date;
$$;

-- Return the key of the `feature` window that pays for a job's calls. Evaluations have a budget of
-- their own, so that they neither use up a feature's nor count as its spend.
CREATE OR REPLACE FUNCTION aif_payer(p_feature text, p_origin text)
RETURNS text
LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE p_origin WHEN 'user' THEN p_feature ELSE '_evals' END;
$$;

-- The same for any job. Each shadow has a window of its own.
CREATE OR REPLACE FUNCTION aif_payer_of(p_feature text, p_origin text, p_options jsonb)
RETURNS text
LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE p_origin WHEN 'shadow' THEN '_shadow:' || (p_options->>'shadow')
                         ELSE aif_payer(p_feature, p_origin) END;
$$;

-- Reserve in one window. Fails with SQLSTATE AIF01 (the window's spend alone leaves no room: waiting
-- does not help) or AIF02 (there would be room without other reservations: waiting may help).
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
-- window counts charges and, separately, the user's own spend; each has its cap. Fails as aif_hold
-- does; the message is `user` (charges), `user_spend` or `account`.
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

-- Check that the month, in which a reservation was just made, is within its cap; else fail as aif_hold
-- does. The reservation has locked its row, so two callers cannot both pass if only one may.
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

-- Release a reservation and count its spend. A wrong window must not fail a job whose result is paid
-- for, so amounts never fall below 0; the reconciler corrects the window.
-- PL/pgSQL caches its plans; SQL functions are planned again in each transaction.
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

-- The same in the two windows of a user: release the reservation, add the charge and the own spend.
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
