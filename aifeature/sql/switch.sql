-- Flips of a kill switch by a person. They read and write only the switch's own columns and its audit
-- rows, so no other value in a control row, and no code, can refuse a flip. If another session holds
-- the lock, the call fails after a second with SQLSTATE 55P03.

-- Check the person and the reason of a flip. The audit row's foreign key takes the same key lock at the
-- commit; taken here, the function's lock_timeout applies to it.
CREATE OR REPLACE FUNCTION aif_flip_by(p_user @user_key@, p_reason text)
RETURNS void
LANGUAGE plpgsql
SET lock_timeout = '1s' AS $$
BEGIN
    IF btrim(coalesce(p_reason, '')) = '' THEN
        RAISE EXCEPTION 'A kill switch is flipped with a reason.'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    PERFORM 1 FROM @user_table@ u WHERE u.@user_id@ = p_user FOR KEY SHARE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'There is no user with the id %: a person flips a kill switch.', p_user
            USING ERRCODE = 'foreign_key_violation';
    END IF;
END
$$;

-- Pull the switch of a feature, or of '_everything'. Returns false, and changes nothing, if it is
-- already pulled: if two people pull it at the same time, the first reason stays.
CREATE OR REPLACE FUNCTION aif_switch_stop(
    p_feature text, p_mode text, p_reason text, p_user @user_key@)
RETURNS boolean
LANGUAGE plpgsql
SET lock_timeout = '1s' AS $$
DECLARE
    was record;
    moment timestamptz;
BEGIN
    PERFORM aif_flip_by(p_user, p_reason);
    INSERT INTO aifeature_featurecontrol (feature, stage, percent, prompt_version, updated_at)
    VALUES (p_feature, 'off', 0, '', clock_timestamp())
        ON CONFLICT (feature) DO NOTHING;
    SELECT c.killed, c.kill_reason, c.kill_mode INTO was
      FROM aifeature_featurecontrol c WHERE c.feature = p_feature
       FOR NO KEY UPDATE;
    IF was.killed THEN
        RETURN false;
    END IF;
    moment := clock_timestamp();  -- read under the lock, so that times follow the order of flips
    UPDATE aifeature_featurecontrol
       SET killed = true, kill_reason = p_reason, kill_mode = p_mode, updated_at = moment
     WHERE feature = p_feature;
    INSERT INTO aifeature_controlchange (
        feature, field, old, new, reason, user_id, check_name, at)
    SELECT p_feature, c.field, c.old, c.new, p_reason, p_user, '', moment
      FROM (VALUES ('killed', initcap(was.killed::text), 'True'),
                   ('kill_reason', was.kill_reason, p_reason),
                   ('kill_mode', was.kill_mode, p_mode)) c (field, old, new)
     WHERE c.field = 'killed' OR c.old <> c.new;
    RETURN true;
END
$$;

-- Change the reason and mode of a pulled switch. Returns false if it is not pulled.
CREATE OR REPLACE FUNCTION aif_switch_change_reason(
    p_feature text, p_mode text, p_reason text, p_user @user_key@)
RETURNS boolean
LANGUAGE plpgsql
SET lock_timeout = '1s' AS $$
DECLARE
    was record;
    moment timestamptz;
BEGIN
    PERFORM aif_flip_by(p_user, p_reason);
    SELECT c.killed, c.kill_reason, c.kill_mode INTO was
      FROM aifeature_featurecontrol c WHERE c.feature = p_feature
       FOR NO KEY UPDATE;
    IF NOT FOUND OR NOT was.killed THEN
        RETURN false;
    END IF;
    moment := clock_timestamp();
    UPDATE aifeature_featurecontrol
       SET kill_reason = p_reason, kill_mode = p_mode, updated_at = moment
     WHERE feature = p_feature;
    INSERT INTO aifeature_controlchange (
        feature, field, old, new, reason, user_id, check_name, at)
    SELECT p_feature, c.field, c.old, c.new, p_reason, p_user, '', moment
      FROM (VALUES ('kill_reason', was.kill_reason, p_reason),
                   ('kill_mode', was.kill_mode, p_mode)) c (field, old, new)
     WHERE c.old <> c.new;
    RETURN true;
END
$$;

-- Release the switch of a feature, or of '_everything', for a share of the users. Returns false if this
-- changes nothing.
CREATE OR REPLACE FUNCTION aif_switch_release(
    p_feature text, p_percent integer, p_reason text, p_user @user_key@)
RETURNS boolean
LANGUAGE plpgsql
SET lock_timeout = '1s' AS $$
DECLARE
    was record;
    moment timestamptz;
BEGIN
    PERFORM aif_flip_by(p_user, p_reason);
    SELECT c.killed, c.kill_reason, c.release_percent INTO was
      FROM aifeature_featurecontrol c WHERE c.feature = p_feature
       FOR NO KEY UPDATE;
    IF NOT FOUND OR NOT was.killed AND was.release_percent = p_percent THEN
        RETURN false;
    END IF;
    moment := clock_timestamp();
    UPDATE aifeature_featurecontrol
       SET killed = false, kill_reason = '', release_percent = p_percent, updated_at = moment
     WHERE feature = p_feature;
    INSERT INTO aifeature_controlchange (
        feature, field, old, new, reason, user_id, check_name, at)
    SELECT p_feature, c.field, c.old, c.new, p_reason, p_user, '', moment
      FROM (VALUES ('killed', initcap(was.killed::text), 'False'),
                   ('kill_reason', was.kill_reason, ''),
                   ('release_percent', was.release_percent::text, p_percent::text)
           ) c (field, old, new)
     WHERE c.old <> c.new;
    RETURN true;
END
$$;
