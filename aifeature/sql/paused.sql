-- Return a user's place, 0 to 99, in the partial release of a kill switch. It is fixed for each user and
-- feature. `aifeature.policies.release` computes the same.
CREATE OR REPLACE FUNCTION aif_release_place(p_feature text, p_user @user_key@)
RETURNS integer
LANGUAGE sql IMMUTABLE AS $$
    SELECT ((get_byte(h, 0)::bigint << 24) + (get_byte(h, 1) << 16) + (get_byte(h, 2) << 8)
            + get_byte(h, 3))::bigint % 100
      FROM sha256(convert_to('release:' || p_feature || ':' || p_user, 'UTF8')) AS h;
$$;

-- Return whether a kill switch, the feature's or that of everything, stops this user's jobs.
-- PL/pgSQL caches its plan.
CREATE OR REPLACE FUNCTION aif_paused(p_feature text, p_user @user_key@)
RETURNS boolean
LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN EXISTS (
        SELECT 1 FROM aifeature_featurecontrol c
         WHERE c.feature IN (p_feature, '_everything')
           AND (c.killed OR c.release_percent < 100
                AND aif_release_place(c.feature, p_user) >= c.release_percent));
END
$$;
