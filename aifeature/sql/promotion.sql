-- No prompt goes live unproven: what is live is a row of aifeature_activation, and each row needs evidence.

-- Return the activation that is live: the newest one that is not over. A later activation ends an override.
-- `p_provider` NULL: of any provider, but of the sandbox only if no other was ever live.
CREATE OR REPLACE FUNCTION aif_live_prompt(p_feature text, p_provider text)
RETURNS SETOF aifeature_activation
LANGUAGE sql STABLE
SET lock_timeout = '2s'
AS $$
    SELECT a.*
      FROM aifeature_activation a
     WHERE a.feature = p_feature AND a.provider = coalesce(p_provider, a.provider)
       AND a.kind IN ('activated', 'deployed', 'rolled_back', 'overridden')
       AND (a.expires_at IS NULL OR a.expires_at > statement_timestamp())
       AND NOT EXISTS (SELECT 1 FROM aifeature_activation e
                        WHERE e.kind = 'ended' AND e.request_id = a.id)
       AND (a.kind <> 'overridden'
            OR NOT EXISTS (SELECT 1 FROM aifeature_activation l
                            WHERE l.feature = a.feature AND l.provider = a.provider AND l.id > a.id
                              AND l.kind IN ('activated', 'deployed', 'rolled_back', 'overridden')))
     ORDER BY a.provider = 'sandbox', a.id DESC
     LIMIT 1;
$$;

-- Return the newest activation with evidence: what is live, or what is live again after an override.
CREATE OR REPLACE FUNCTION aif_proven_prompt(p_feature text, p_provider text)
RETURNS SETOF aifeature_activation
LANGUAGE sql STABLE
SET lock_timeout = '2s'
AS $$
    SELECT a.*
      FROM aifeature_activation a
     WHERE a.feature = p_feature AND a.provider = p_provider
       AND a.kind IN ('activated', 'deployed', 'rolled_back')
     ORDER BY a.id DESC
     LIMIT 1;
$$;

-- Return why this evidence does not count now; NULL if it does. `p_any_age`: its age does not count, as for a
-- roll-back. Then any evidence of a prompt that was live counts, and else the newest of the prompt. Without
-- `p_any_age` a later regression of the prompt counts under any conditions.
CREATE OR REPLACE FUNCTION aif_evidence_problem(e aifeature_evidence, p_any_age boolean)
RETURNS text
LANGUAGE plpgsql STABLE AS $$
DECLARE
    was_live boolean := EXISTS (
        SELECT 1 FROM aifeature_activation a
         WHERE a.feature = e.feature AND a.provider = e.provider AND a.prompt_hash = e.prompt_hash
           AND a.kind IN ('activated', 'deployed'));
BEGIN
    IF e.id IS NULL THEN
        RETURN 'It has no evidence.';
    ELSIF NOT e.passed THEN
        RETURN 'Its evaluation did not pass.';
    ELSIF EXISTS (SELECT 1 FROM aifeature_evidence later
                   WHERE later.feature = e.feature AND later.prompt_hash = e.prompt_hash
                     AND later.provider = e.provider
                     AND (later.created_at, later.id) > (e.created_at, e.id)
                     AND CASE WHEN p_any_age THEN NOT was_live
                              ELSE later.fingerprint = e.fingerprint
                                   OR later.verdict ->> 'decision' = 'regression' END) THEN
        RETURN 'A later run of the same prompt has newer evidence, and that one counts.';
    ELSIF p_any_age THEN
        RETURN NULL;
    ELSIF e.fresh_until <= statement_timestamp() THEN
        RETURN format('Its evidence is too old: it counted until %s UTC.',
            to_char(e.fresh_until AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI'));
    ELSIF e.measured_at > statement_timestamp() + interval '5 minutes' THEN
        RETURN format('Its evidence is of a time that has not come (%s UTC): a clock is wrong.',
            to_char(e.measured_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI'));
    END IF;
    RETURN NULL;
END
$$;

-- Return why a row may not become part of the history; NULL if it may.
CREATE OR REPLACE FUNCTION aif_activation_problem(
    p_kind text, p_feature text, p_provider text, p_version text, p_hash text, p_evidence uuid)
RETURNS text
LANGUAGE plpgsql STABLE
SET lock_timeout = '2s'
AS $$
DECLARE
    live aifeature_activation;
    proven aifeature_activation;
    e aifeature_evidence;
    problem text;
BEGIN
    SELECT * INTO live FROM aif_live_prompt(p_feature, p_provider);
    SELECT * INTO proven FROM aif_proven_prompt(p_feature, p_provider);
    SELECT * INTO e FROM aifeature_evidence x WHERE x.id = p_evidence;
    problem := aif_evidence_problem(e, p_kind = 'rolled_back');
    IF problem IS NOT NULL THEN
        RETURN problem;
    ELSIF (e.feature, e.provider, e.version, e.prompt_hash)
          IS DISTINCT FROM (p_feature, p_provider, p_version, p_hash) THEN
        RETURN format('The evidence is of %s %s with %s, whose hash begins with %s.',
            e.feature, e.version, e.provider, left(e.prompt_hash, 8));
    ELSIF p_kind = 'rolled_back' THEN
        IF live.id IS NULL THEN
            RETURN 'No prompt is live, so there is nothing to roll back.';
        ELSIF substr(p_version, 2)::integer >= substr(live.version, 2)::integer
              AND NOT (live.kind = 'overridden'
                       AND p_hash IS NOT DISTINCT FROM proven.prompt_hash) THEN
            RETURN format('A roll-back goes to a version before %s, which is live.', live.version);
        END IF;
    ELSIF p_kind = 'deployed' THEN
        IF proven.id IS NULL OR proven.version <> p_version OR proven.prompt_hash = p_hash
           OR live.kind = 'overridden' THEN
            RETURN 'No deploy has changed the live prompt.';
        END IF;
    -- An override is no comparison: its prompt is live without evidence.
    ELSIF proven.id IS NOT NULL AND proven.prompt_hash NOT IN (p_hash, e.live_hash)
          AND NOT EXISTS (SELECT 1 FROM aifeature_activation a
                           WHERE a.feature = p_feature AND a.provider = p_provider
                             AND a.prompt_hash = p_hash AND a.kind IN ('activated', 'deployed')) THEN
        RETURN format('Its evidence does not compare it with %s, %s.', proven.version,
            CASE WHEN live.id = proven.id THEN 'which is live now'
                 ELSE 'the last one with evidence' END);
    END IF;
    RETURN NULL;
END
$$;

-- The same for a row of an override: it needs two persons, a reason, and an end.
CREATE OR REPLACE FUNCTION aif_override_problem(a aifeature_activation)
RETURNS text
LANGUAGE plpgsql STABLE AS $$
DECLARE
    r aifeature_activation;
BEGIN
    SELECT * INTO r FROM aifeature_activation x WHERE x.id = a.request_id;
    IF btrim(a.reason) = '' THEN
        RETURN 'It needs a reason.';
    ELSIF a.kind = 'requested' THEN
        RETURN CASE
            WHEN a.user_id IS NULL THEN 'A person requests an override.'
            WHEN coalesce(a.hours, 0) NOT BETWEEN 1 AND 168
                THEN 'It lasts from 1 to 168 hours.' END;
    ELSIF r.id IS NULL OR r.feature <> a.feature OR r.provider <> a.provider THEN
        RETURN 'It refers to no row of this feature.';
    ELSIF EXISTS (SELECT 1 FROM aifeature_activation x
                   WHERE x.request_id = r.id AND x.kind IN ('overridden', 'ended')) THEN
        RETURN 'It is approved, or over, already.';
    ELSIF a.kind = 'ended' THEN
        RETURN CASE WHEN r.kind NOT IN ('overridden', 'requested') THEN 'It is no override.' END;
    ELSIF r.kind <> 'requested' OR (r.version, r.prompt_hash) <> (a.version, a.prompt_hash) THEN
        RETURN 'Nobody requested it for this prompt.';
    ELSIF a.user_id IS NULL OR a.user_id = r.user_id THEN
        RETURN 'A second person approves an override.';
    ELSIF r.at < statement_timestamp() - interval '24 hours' THEN
        RETURN 'It was requested more than 24 hours ago: request it again.';
    ELSIF a.expires_at IS NULL
          OR a.expires_at > statement_timestamp() + make_interval(hours => r.hours) THEN
        RETURN 'It must end when its request says.';
    END IF;
    RETURN NULL;
END
$$;

CREATE OR REPLACE FUNCTION aif_guard_activation()
RETURNS trigger
LANGUAGE plpgsql AS $$
DECLARE
    problem text;
BEGIN
    IF TG_OP <> 'INSERT' THEN
        PERFORM aif_refuse(TG_TABLE_NAME, OLD.id::text, lower(TG_OP),
            'The history of what was live stays as it is.');
    END IF;
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        PERFORM aif_refuse(TG_TABLE_NAME, NEW.feature, 'this isolation level',
            'Use READ COMMITTED, to see what is live now.');
    END IF;
    -- One at a time: each sees what is live before it. The id is the order of the history.
    PERFORM pg_advisory_xact_lock(hashtext('aif_activation'), hashtext(NEW.feature));
    NEW.id := nextval(pg_get_serial_sequence(TG_TABLE_NAME, 'id'));
    NEW.replaces_hash := coalesce(
        (SELECT live.prompt_hash FROM aif_live_prompt(NEW.feature, NEW.provider) live), '');
    problem := CASE
        WHEN NEW.kind IN ('activated', 'deployed', 'rolled_back')
            THEN aif_activation_problem(NEW.kind, NEW.feature, NEW.provider, NEW.version,
                                        NEW.prompt_hash, NEW.evidence_id)
        WHEN NEW.kind IN ('requested', 'overridden', 'ended') THEN aif_override_problem(NEW)
        ELSE 'There is no such kind.' END;
    IF problem IS NOT NULL THEN
        PERFORM aif_refuse(TG_TABLE_NAME, NEW.feature || ' ' || NEW.version, NEW.kind, problem);
    END IF;
    RETURN NEW;
END
$$;

CREATE OR REPLACE TRIGGER activation_guard
    BEFORE INSERT OR UPDATE OR DELETE ON aifeature_activation
    FOR EACH ROW EXECUTE FUNCTION aif_guard_activation();

-- The newest evidence counts, so a clock that jumps back does not change the order.
CREATE OR REPLACE FUNCTION aif_guard_evidence()
RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        PERFORM pg_advisory_xact_lock(hashtext('aif_evidence'), hashtext(NEW.feature));
        NEW.created_at := greatest(statement_timestamp(), (
            SELECT max(e.created_at) + interval '1 microsecond' FROM aifeature_evidence e
             WHERE e.feature = NEW.feature AND e.prompt_hash = NEW.prompt_hash));
        RETURN NEW;
    END IF;
    PERFORM aif_refuse(TG_TABLE_NAME, OLD.id::text, lower(TG_OP),
        'Evidence stays as it was measured. A new run adds new evidence.');
    RETURN NULL;
END
$$;

CREATE OR REPLACE TRIGGER evidence_guard
    BEFORE INSERT OR UPDATE OR DELETE ON aifeature_evidence
    FOR EACH ROW EXECUTE FUNCTION aif_guard_evidence();

-- Return the rank of a stage: the higher, the more users. Stages of other releases rank highest.
CREATE OR REPLACE FUNCTION aif_stage_rank(p_stage text)
RETURNS integer
LANGUAGE sql IMMUTABLE AS $$
    SELECT coalesce(array_position(ARRAY['off', 'staff', 'beta', 'percent', 'everyone'], p_stage), 9);
$$;

-- Return why a feature may not be opened to users, or to more of them; NULL if it may.
-- `p_provider` NULL: that of the newest activation, but the sandbox only if no other was ever live.
CREATE OR REPLACE FUNCTION aif_opening_problem(
    p_feature text, p_provider text, p_version text, p_more boolean)
RETURNS text
LANGUAGE plpgsql STABLE
SET lock_timeout = '2s'
AS $$
DECLARE
    live aifeature_activation;
    problem text;
BEGIN
    SELECT * INTO live FROM aif_live_prompt(p_feature, p_provider);
    IF live.id IS NULL THEN
        RETURN 'No prompt is activated, so only staff may use it.';
    ELSIF live.version <> p_version
          AND (p_provider IS NOT NULL OR p_version NOT IN (
               SELECT other.version
                 FROM (SELECT DISTINCT a.provider FROM aifeature_activation a
                        WHERE a.feature = p_feature) AS p,
                      aif_live_prompt(p_feature, p.provider) AS other)) THEN
        RETURN format('Its active prompt is %s, and users may get only what is activated: %s.',
            CASE p_version WHEN '' THEN 'the code''s version' ELSE p_version END, live.version);
    ELSIF p_more AND live.kind = 'overridden' THEN
        RETURN 'An override is live, so no more users may get it.';
    ELSIF p_more THEN
        SELECT aif_evidence_problem(e, false) INTO problem
          FROM aifeature_evidence e
         WHERE e.feature = live.feature AND e.provider = live.provider
           AND e.prompt_hash = live.prompt_hash
         ORDER BY e.created_at DESC, e.id DESC
         LIMIT 1;
    END IF;
    RETURN problem;
END
$$;

CREATE OR REPLACE FUNCTION aif_guard_prompt()
RETURNS trigger
LANGUAGE plpgsql AS $$
DECLARE
    problem text;
    more boolean := true;
BEGIN
    IF TG_OP = 'UPDATE' THEN
        more := aif_stage_rank(NEW.stage) > aif_stage_rank(OLD.stage)
                OR NEW.stage = 'percent' AND NEW.percent > OLD.percent;
        IF NOT more AND NEW.prompt_version = OLD.prompt_version THEN
            RETURN NEW;
        END IF;
    END IF;
    -- No provider: that of a process is in its environment. The process checks its own before.
    problem := aif_opening_problem(NEW.feature, NULL, NEW.prompt_version, more);
    IF problem IS NOT NULL THEN
        PERFORM aif_refuse(TG_TABLE_NAME, NEW.feature, 'opening it', problem
            || ' Activate a prompt with evidence: in admin, Features, Prompts, or with'
            || ' manage.py prompts activate.');
    END IF;
    RETURN NEW;
END
$$;

CREATE OR REPLACE TRIGGER prompt_guard
    BEFORE INSERT OR UPDATE OF stage, percent, prompt_version ON aifeature_featurecontrol
    FOR EACH ROW WHEN (NEW.stage NOT IN ('off', 'staff'))
    EXECUTE FUNCTION aif_guard_prompt();
