-- A closed account submits no job, not even by a request that was admitted a moment before. The lock
-- waits for a transaction that is closing the account (SELECT ... FOR UPDATE) and reads its result.
CREATE OR REPLACE FUNCTION aif_job_needs_active_user()
RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM 1 FROM @user_table@ u WHERE u.@user_id@ = NEW.user_id AND u.is_active FOR KEY SHARE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'aifeature_job %: account % is closed; only an active one submits jobs',
              NEW.id, NEW.user_id
              USING ERRCODE = 'integrity_constraint_violation',
                    CONSTRAINT = 'job_of_active_user', TABLE = 'aifeature_job';
    END IF;
    RETURN NEW;
END
$$;
