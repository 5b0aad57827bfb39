-- Separate from its function: creating a trigger locks its table, replacing a function does not.
CREATE OR REPLACE TRIGGER aif_job_of_active_user
    BEFORE INSERT ON aifeature_job
    FOR EACH ROW EXECUTE FUNCTION aif_job_needs_active_user();
