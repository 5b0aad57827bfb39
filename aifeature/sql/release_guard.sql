-- Only a person, with a reason, releases a pulled kill switch: a transaction that releases one, or that
-- raises its share of users, must contain the audit row when it commits.
CREATE OR REPLACE FUNCTION aif_guard_release()
RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT 1 FROM aifeature_controlchange c
                    WHERE c.feature = NEW.feature AND c.at >= transaction_timestamp()
                      AND c.field || ' ' || c.new = CASE WHEN OLD.killed AND NOT NEW.killed
                          THEN 'killed False' ELSE 'release_percent ' || NEW.release_percent END
                      AND c.user_id IS NOT NULL AND btrim(c.reason) <> '') THEN
        PERFORM aif_refuse(TG_TABLE_NAME, NEW.feature, 'releasing its kill switch',
            'Only a person with permission releases it, with a reason: in admin, or with'
            || ' manage.py kill_switch release.');
    END IF;
    RETURN NULL;
END
$$;

DROP TRIGGER IF EXISTS release_guard ON aifeature_featurecontrol;
CREATE CONSTRAINT TRIGGER release_guard
    AFTER UPDATE ON aifeature_featurecontrol
    DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW
    WHEN (OLD.killed AND NOT NEW.killed OR NEW.release_percent > OLD.release_percent)
    EXECUTE FUNCTION aif_guard_release();

-- The row of a switch that is pulled, or released for some users only, cannot be deleted or renamed.
CREATE OR REPLACE FUNCTION aif_guard_control()
RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF (OLD.killed OR OLD.release_percent < 100)
       AND (TG_OP = 'DELETE' OR NEW.feature <> OLD.feature) THEN
        PERFORM aif_refuse(TG_TABLE_NAME, OLD.feature,
            CASE TG_OP WHEN 'DELETE' THEN 'deleting it' ELSE 'renaming it' END,
            'Its kill switch is pulled, or released for some users only; release it first.');
    END IF;
    RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
END
$$;

CREATE OR REPLACE TRIGGER control_guard
    BEFORE DELETE OR UPDATE OF feature ON aifeature_featurecontrol
    FOR EACH ROW EXECUTE FUNCTION aif_guard_control();
