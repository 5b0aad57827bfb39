-- Separate from their functions: creating a trigger locks its table, replacing a function does not.
CREATE OR REPLACE TRIGGER job_guard
    BEFORE UPDATE OR DELETE ON aifeature_job
    FOR EACH ROW EXECUTE FUNCTION aif_guard_job();
CREATE OR REPLACE TRIGGER attempt_guard
    BEFORE UPDATE OR DELETE ON aifeature_attempt
    FOR EACH ROW EXECUTE FUNCTION aif_guard_attempt();
CREATE OR REPLACE TRIGGER change_guard
    BEFORE UPDATE OR DELETE ON aifeature_controlchange
    FOR EACH ROW EXECUTE FUNCTION aif_guard_audit();
