-- A candidate reaches users beyond staff only with evidence, as if it were activated now. An ended canary stays ended.
CREATE OR REPLACE FUNCTION aif_guard_canary()
RETURNS trigger
LANGUAGE plpgsql AS $$
DECLARE
    problem text;
BEGIN
    IF TG_OP = 'UPDATE' AND OLD.state NOT IN ('running', 'held') THEN
        PERFORM aif_refuse(TG_TABLE_NAME, OLD.id::text, lower(TG_OP),
            'This canary is over. Start another one.');
    ELSIF TG_OP = 'UPDATE' AND (NEW.feature, NEW.provider, NEW.version, NEW.prompt_hash,
                                NEW.live_version, NEW.live_hash, NEW.evidence_id, NEW.created_at)
          IS DISTINCT FROM (OLD.feature, OLD.provider, OLD.version, OLD.prompt_hash,
                            OLD.live_version, OLD.live_hash, OLD.evidence_id, OLD.created_at) THEN
        PERFORM aif_refuse(TG_TABLE_NAME, OLD.id::text, lower(TG_OP),
            'A canary keeps its candidate, its live version and its start.');
    ELSIF TG_OP = 'INSERT' THEN
        -- As an activation does: what is live does not change meanwhile.
        PERFORM pg_advisory_xact_lock(hashtext('aif_activation'), hashtext(NEW.feature));
        problem := aif_activation_problem('activated', NEW.feature, NEW.provider, NEW.version,
                                          NEW.prompt_hash, NEW.evidence_id);
        IF problem IS NULL AND NOT EXISTS (
               SELECT 1 FROM aif_live_prompt(NEW.feature, NEW.provider) l
                WHERE l.prompt_hash = NEW.live_hash AND l.prompt_hash <> NEW.prompt_hash
                  AND l.kind <> 'overridden') THEN
            problem := 'It is compared with a version that is live with evidence, and is another one.';
        END IF;
        IF problem IS NOT NULL THEN
            PERFORM aif_refuse(TG_TABLE_NAME, NEW.feature || ' ' || NEW.version, 'its canary',
                problem);
        END IF;
    END IF;
    RETURN NEW;
END
$$;

CREATE OR REPLACE TRIGGER canary_guard
    BEFORE INSERT OR UPDATE ON aifeature_canary
    FOR EACH ROW EXECUTE FUNCTION aif_guard_canary();

-- Only the newest step of an open canary is added, and none is changed: jobs name their step.
CREATE OR REPLACE FUNCTION aif_guard_canary_step()
RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP <> 'INSERT' THEN
        PERFORM aif_refuse(TG_TABLE_NAME, OLD.id::text, lower(TG_OP),
            'Jobs name this step, so it stays as it is.');
    ELSIF NOT EXISTS (SELECT 1 FROM aifeature_canary c
                       WHERE c.id = NEW.canary_id AND c.state IN ('running', 'held')) THEN
        PERFORM aif_refuse(TG_TABLE_NAME, NEW.canary_id::text, 'another share',
            'This canary is over. Start another one.');
    END IF;
    RETURN NEW;
END
$$;

CREATE OR REPLACE TRIGGER canary_step_guard
    BEFORE INSERT OR UPDATE ON aifeature_canarystep
    FOR EACH ROW EXECUTE FUNCTION aif_guard_canary_step();
