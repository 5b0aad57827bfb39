-- Tables whose rows may not be deleted cannot be truncated either: TRUNCATE skips row triggers.
-- Tests that empty a table set `aifeature.may_truncate` to `yes`.
CREATE OR REPLACE FUNCTION aif_guard_truncate()
RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF current_setting('aifeature.may_truncate', true) = 'yes' THEN
        RETURN NULL;
    END IF;
    RAISE EXCEPTION '%: emptying it is refused. Jobs, the ledger, controls, the audit trail and the'
        ' schedule stay; retention and erasure empty the content of jobs.', TG_TABLE_NAME
        USING ERRCODE = 'integrity_constraint_violation', TABLE = TG_TABLE_NAME;
END
$$;
