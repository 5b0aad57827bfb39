-- Access to features: places of users, members of betas, the reach of a stage, and the seed of each feature.

-- Return a user's place, 0 to 99, for a purpose of a feature with this seed; purpose '' is the stage.
-- `aifeature.policies.percent` computes the same: the first eight bytes of the digest as a number, modulo 100.
-- Two to the power of 32 is 96 modulo 100. One expression of functions that are IMMUTABLE, so that PostgreSQL
-- inlines it: a count of all users would take several times as long otherwise. `convert_to` is not.
CREATE OR REPLACE FUNCTION aif_place(p_seed text, p_purpose text, p_user @user_key@)
RETURNS integer
LANGUAGE sql IMMUTABLE AS $$
    SELECT ((('x' || substr(encode(sha256(decode(replace(
                p_seed || CASE p_purpose WHEN '' THEN ':' ELSE ':' || p_purpose || ':' END || p_user::text,
                '\', '\\'), 'escape')), 'hex'), 1, 8))::bit(32)::bigint % 100 * 96
            + ('x' || substr(encode(sha256(decode(replace(
                p_seed || CASE p_purpose WHEN '' THEN ':' ELSE ':' || p_purpose || ':' END || p_user::text,
                '\', '\\'), 'escape')), 'hex'), 9, 8))::bit(32)::bigint) % 100)::integer;
$$;

-- Return the features whose beta this user joined, and those to which one of the user's groups is invited.
CREATE OR REPLACE FUNCTION aif_beta_features(p_user @user_key@)
RETURNS TABLE (feature text)
LANGUAGE sql STABLE
SET lock_timeout = '2s'
AS $$
    SELECT m.feature FROM aifeature_betamember m WHERE m.user_id = p_user
     UNION
    SELECT g.featurecontrol_id
      FROM @user_groups@ u
      JOIN aifeature_featurecontrol_beta_groups g ON g.group_id = u.group_id
     WHERE u.@of_user@ = p_user;
$$;

-- Return the active users who see a feature at this stage, by the rules of `aifeature.policies.access`.
-- `p_staff_only`: the environment restricts it to staff. A stage of another release counts as off.
CREATE OR REPLACE FUNCTION aif_admitted(
    p_feature text, p_stage text, p_percent integer, p_holdout integer, p_staff_only boolean)
RETURNS TABLE (user_id @user_key@)
LANGUAGE plpgsql STABLE
SET lock_timeout = '2s'
AS $$
DECLARE
    seed text := coalesce((SELECT nullif(c.seed, '') FROM aifeature_featurecontrol c
                            WHERE c.feature = p_feature), p_feature);
BEGIN
    IF p_stage NOT IN ('staff', 'beta', 'percent', 'everyone') THEN
        RETURN;
    END IF;
    RETURN QUERY
    SELECT CAST(u.@user_id@ AS @user_key@)
      FROM @user_table@ u
     WHERE u.is_active
       AND NOT EXISTS (SELECT 1 FROM aifeature_accessblock b
                        WHERE b.user_id = u.@user_id@ AND b.feature IN ('', p_feature)
                          AND (b.expires_at IS NULL OR b.expires_at > statement_timestamp()))
       AND (u.is_staff
            OR NOT p_staff_only AND p_stage <> 'staff'
               AND (EXISTS (SELECT 1 FROM aifeature_featurecontrol_beta_users i
                             WHERE i.featurecontrol_id = p_feature AND i.@of_user@ = u.@user_id@)
                    OR (p_holdout = 0 OR aif_place(seed, 'holdout', u.@user_id@) >= p_holdout)
                       AND (p_stage = 'everyone'
                            OR p_stage = 'percent' AND aif_place(seed, '', u.@user_id@) < p_percent
                            OR EXISTS (SELECT 1 FROM aifeature_betamember m
                                        WHERE m.feature = p_feature AND m.user_id = u.@user_id@)
                            OR EXISTS (SELECT 1 FROM @user_groups@ ug
                                         JOIN aifeature_featurecontrol_beta_groups g
                                           ON g.group_id = ug.group_id
                                        WHERE g.featurecontrol_id = p_feature
                                          AND ug.@of_user@ = u.@user_id@))));
END
$$;

-- Return the number of these users without `p_except`, the account of evaluations, or NULL.
CREATE OR REPLACE FUNCTION aif_audience(
    p_feature text, p_stage text, p_percent integer, p_holdout integer, p_staff_only boolean,
    p_except @user_key@)
RETURNS bigint
LANGUAGE sql STABLE
SET lock_timeout = '2s'
AS $$
    SELECT count(*) FROM aif_admitted(p_feature, p_stage, p_percent, p_holdout, p_staff_only) a
     WHERE a.user_id IS DISTINCT FROM p_except;
$$;

-- Let a user join the beta of a feature. Outcomes: joined (also if they had before), full, closed (not at a
-- stage with a beta, or the account is not active). One at a time for each feature, so the cap holds.
CREATE OR REPLACE FUNCTION aif_join_beta(p_feature text, p_user @user_key@)
RETURNS text
LANGUAGE plpgsql
SET lock_timeout = '2s'
AS $$
DECLARE
    places integer;
BEGIN
    SELECT c.beta_cap INTO places FROM aifeature_featurecontrol c
     WHERE c.feature = p_feature AND c.stage IN ('beta', 'percent')
       FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RETURN 'closed';
    END IF;
    PERFORM 1 FROM @user_table@ u WHERE u.@user_id@ = p_user AND u.is_active FOR KEY SHARE;
    IF NOT FOUND THEN
        RETURN 'closed';
    ELSIF EXISTS (SELECT 1 FROM aifeature_betamember m
                   WHERE m.feature = p_feature AND m.user_id = p_user) THEN
        RETURN 'joined';
    ELSIF (SELECT count(*) FROM aifeature_betamember m WHERE m.feature = p_feature) >= places THEN
        RETURN 'full';
    END IF;
    INSERT INTO aifeature_betamember (feature, user_id) VALUES (p_feature, p_user);
    RETURN 'joined';
END
$$;

-- Each control has a seed: at first the feature itself. It changes only when the feature is renamed, in a
-- transaction with the audit row. Otherwise all users would move to other places.
CREATE OR REPLACE FUNCTION aif_guard_seed()
RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.seed = '' THEN
        NEW.seed := CASE TG_OP WHEN 'UPDATE' THEN coalesce(nullif(OLD.seed, ''), NEW.feature)
                               ELSE NEW.feature END;
    END IF;
    IF TG_OP = 'UPDATE' AND OLD.seed <> '' AND NEW.seed <> OLD.seed AND NOT EXISTS (
           SELECT 1 FROM aifeature_controlchange c
            WHERE c.feature = NEW.feature AND c.field = 'seed' AND c.new = NEW.seed
              AND c.at >= transaction_timestamp()) THEN
        PERFORM aif_refuse(TG_TABLE_NAME, NEW.feature, 'another seed',
            'All users would move to other places. Only manage.py access rename changes it.');
    END IF;
    RETURN NEW;
END
$$;

CREATE OR REPLACE TRIGGER seed_guard
    BEFORE INSERT OR UPDATE OF seed ON aifeature_featurecontrol
    FOR EACH ROW EXECUTE FUNCTION aif_guard_seed();

-- More places in the beta, and a smaller hold-out, give the feature to more users: that needs evidence, as
-- a larger share does.
CREATE OR REPLACE FUNCTION aif_guard_reach()
RETURNS trigger
LANGUAGE plpgsql AS $$
DECLARE
    problem text := aif_opening_problem(NEW.feature, NULL, NEW.prompt_version, true);
BEGIN
    IF problem IS NOT NULL THEN
        PERFORM aif_refuse(TG_TABLE_NAME, NEW.feature, 'opening it to more users', problem
            || ' Activate a prompt with evidence: in admin, Features, Prompts, or with'
            || ' manage.py prompts activate.');
    END IF;
    RETURN NEW;
END
$$;

CREATE OR REPLACE TRIGGER reach_guard
    BEFORE UPDATE OF beta_cap, holdout_percent ON aifeature_featurecontrol
    FOR EACH ROW
    WHEN (NEW.stage NOT IN ('off', 'staff')
          AND (NEW.beta_cap > OLD.beta_cap AND NEW.stage <> 'everyone'
               OR NEW.holdout_percent < OLD.holdout_percent))
    EXECUTE FUNCTION aif_guard_reach();
