-- Tries to sign in, counted before a password is checked. A try counts for its name and address
-- together, for its address alone and for its name alone. All three must allow it, or none counts it.

-- Count a try and return 0, or count nothing and return the seconds until the next try.
-- `p_keys` are digests, `p_limits` the tries of each within `p_window_s` seconds of its first.
-- The rows are locked in the order of their keys, so that parallel tries are counted one by one.
CREATE OR REPLACE FUNCTION aif_sign_in_take(
    p_keys text[], p_limits integer[], p_window_s double precision)
RETURNS double precision
LANGUAGE plpgsql
SET lock_timeout = '2s'
AS $$
DECLARE
    longest CONSTANT interval := make_interval(secs => p_window_s);
    wait_s double precision;
BEGIN
    -- Check first without inserting rows: repeated refusals must not fill the table.
    SELECT max(extract(epoch FROM c.until - clock_timestamp())) INTO wait_s
      FROM unnest(p_keys, p_limits) AS l (key, most) JOIN aifeature_signincount c USING (key)
     WHERE c.until > clock_timestamp() AND c.tries >= l.most;
    IF wait_s IS NOT NULL THEN
        RETURN greatest(wait_s, 1);
    END IF;
    INSERT INTO aifeature_signincount (key, tries, until)
    SELECT k, 0, clock_timestamp() + longest FROM unnest(p_keys) k ORDER BY k
        ON CONFLICT (key) DO NOTHING;
    PERFORM 1 FROM aifeature_signincount c WHERE c.key = ANY (p_keys) ORDER BY c.key FOR UPDATE;
    SELECT max(extract(epoch FROM c.until - clock_timestamp())) INTO wait_s
      FROM unnest(p_keys, p_limits) AS l (key, most) JOIN aifeature_signincount c USING (key)
     WHERE c.until > clock_timestamp() AND c.tries >= l.most;
    IF wait_s IS NOT NULL THEN
        RETURN greatest(wait_s, 1);
    END IF;
    UPDATE aifeature_signincount c
       SET tries = CASE WHEN c.until <= clock_timestamp() THEN 1 ELSE c.tries + 1 END,
           until = CASE WHEN c.until <= clock_timestamp() THEN clock_timestamp() + longest
                        ELSE c.until END
     WHERE c.key = ANY (p_keys);
    DELETE FROM aifeature_signincount c
     WHERE c.key = ANY (ARRAY(
        SELECT o.key FROM aifeature_signincount o
         WHERE o.until < clock_timestamp() - longest
         LIMIT 20 FOR UPDATE SKIP LOCKED));
    RETURN 0;
END
$$;

-- After a correct password, reset the tries of `p_own` (name and address together), and subtract this
-- try from the others.
CREATE OR REPLACE FUNCTION aif_sign_in_succeeded(p_own text, p_others text[])
RETURNS void
LANGUAGE plpgsql
SET lock_timeout = '2s'
AS $$
BEGIN
    PERFORM 1 FROM aifeature_signincount c
      WHERE c.key = ANY (p_others || p_own) ORDER BY c.key FOR UPDATE;
    UPDATE aifeature_signincount c
       SET tries = CASE WHEN c.key = p_own THEN 0 ELSE greatest(c.tries - 1, 0) END
     WHERE c.key = ANY (p_others || p_own);
END
$$;
