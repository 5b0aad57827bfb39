-- Pull the kill switch of a feature, or of '_everything', for a check, and record its figures.
-- Jobs are held, not cancelled. Returns false if it was already pulled.
CREATE OR REPLACE FUNCTION aif_trip(
    p_feature text, p_check text, p_reason text, p_figures jsonb)
RETURNS boolean
LANGUAGE plpgsql
SET lock_timeout = '1s'
AS $$
BEGIN
    INSERT INTO aifeature_featurecontrol (
        feature, stage, percent, prompt_version, updated_at, killed, kill_reason)
    VALUES (p_feature, 'off', 0, '', statement_timestamp(), true, p_reason)
        ON CONFLICT (feature) DO UPDATE
       SET killed = true, kill_reason = p_reason, kill_mode = 'hold',
           updated_at = statement_timestamp()
     WHERE NOT aifeature_featurecontrol.killed;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    INSERT INTO aifeature_controlchange (
        feature, field, old, new, reason, check_name, figures)
    VALUES (p_feature, 'killed', 'False', 'True', p_reason, p_check, p_figures);
    RETURN true;
END
$$;

-- Open an alert for on-call. If it is already open, update `seen_at`.
CREATE OR REPLACE FUNCTION aif_alert(
    p_kind text, p_subject text, p_summary text, p_figures jsonb)
RETURNS void
LANGUAGE sql
SET lock_timeout = '2s'
AS $$
    INSERT INTO aifeature_alert (kind, subject, summary, figures)
    VALUES (p_kind, p_subject, p_summary, p_figures)
        ON CONFLICT (kind, subject) WHERE closed_at IS NULL
        DO UPDATE SET seen_at = statement_timestamp();
$$;

-- Handle a call that cost more than its bound: stop its feature and open an alert, because reservations
-- can no longer be trusted. The full cost counts as spend.
CREATE OR REPLACE FUNCTION aif_overrun(
    p_attempt uuid, p_feature text, p_model text, p_bound bigint, p_cost bigint)
RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    what text := format(
        'Call %s of %s to %s cost %s micro-dollars; %s were reserved as the most it can cost.',
        p_attempt, p_feature, p_model, p_cost, p_bound);
    figures jsonb := jsonb_build_object(
        'attempt', p_attempt, 'model', p_model, 'bound_micro', p_bound, 'cost_micro', p_cost);
BEGIN
    -- Lock the control row first, in the same order as a release.
    PERFORM aif_trip(p_feature, 'overrun', what, figures);
    PERFORM aif_alert('overrun', p_feature, what, figures);
END
$$;
