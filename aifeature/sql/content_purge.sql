-- Delete inputs and answers; keep figures and costs. Only ended jobs are changed, so these functions can
-- be called at any time and repeatedly.

-- Return the features that have ended jobs with content, by one index probe per feature.
CREATE OR REPLACE FUNCTION aif_features_with_content()
RETURNS SETOF text
LANGUAGE sql STABLE
SET lock_timeout = '2s'
AS $$
    WITH RECURSIVE found (feature) AS (
        (SELECT j.feature FROM aifeature_job j
          WHERE j.content_blanked_at IS NULL AND j.finished_at IS NOT NULL
          ORDER BY j.feature LIMIT 1)
        UNION ALL
        (SELECT next.feature FROM found CROSS JOIN LATERAL (
            SELECT j.feature FROM aifeature_job j
             WHERE j.content_blanked_at IS NULL AND j.finished_at IS NOT NULL
               AND j.feature > found.feature
             ORDER BY j.feature LIMIT 1) next)
    )
    SELECT found.feature::text FROM found;
$$;

-- Blank the provider calls of these jobs.
CREATE OR REPLACE FUNCTION aif_blank_calls(p_jobs uuid[])
RETURNS void
LANGUAGE sql AS $$
    UPDATE aifeature_attempt
       SET request = NULL, output = '', error_detail = ''
     WHERE job_id = ANY (p_jobs)
       AND (request IS NOT NULL OR output <> '' OR error_detail <> '');
$$;

-- Blank what users and auditors wrote about the answers of these jobs, and the copies of the answers.
CREATE OR REPLACE FUNCTION aif_blank_feedback(p_jobs uuid[])
RETURNS void
LANGUAGE sql AS $$
    UPDATE aifeature_feedback
       SET answer = NULL, comment = ''
     WHERE job_id = ANY (p_jobs) AND (answer IS NOT NULL OR comment <> '');
    UPDATE aifeature_auditedanswer SET note = '' WHERE job_id = ANY (p_jobs) AND note <> '';
$$;

-- Blank up to `p_limit` jobs of a feature that ended more than `p_days` days ago, oldest first,
-- with their calls and feedback. Returns their number. Locked rows are left to the next call.
CREATE OR REPLACE FUNCTION aif_blank_expired(p_feature text, p_days integer, p_limit integer)
RETURNS integer
LANGUAGE plpgsql
SET lock_timeout = '2s'
AS $$
DECLARE
    chosen uuid[];
BEGIN
    SELECT array_agg(expired.id) INTO chosen FROM (
        SELECT j.id FROM aifeature_job j
         WHERE j.feature = p_feature AND j.content_blanked_at IS NULL
           AND j.finished_at < statement_timestamp() - make_interval(days => p_days)
         ORDER BY j.finished_at
         LIMIT p_limit
           FOR UPDATE SKIP LOCKED) expired;
    UPDATE aifeature_job
       SET input = NULL, result = NULL, partial_text = '', approval_reason = '',
           content_blanked_at = statement_timestamp()
     WHERE id = ANY (chosen);
    PERFORM aif_blank_calls(chosen);
    PERFORM aif_blank_feedback(chosen);
    RETURN coalesce(cardinality(chosen), 0);
END
$$;

-- Blank up to `p_limit` ended jobs of a person of any age, with their calls, feedback and the idempotency
-- key, which the person chose. Returns their number.
CREATE OR REPLACE FUNCTION aif_erase_jobs(p_user @user_key@, p_limit integer)
RETURNS integer
LANGUAGE plpgsql
SET lock_timeout = '2s'
AS $$
DECLARE
    chosen uuid[];
BEGIN
    SELECT array_agg(found.id) INTO chosen FROM (
        SELECT j.id FROM aifeature_job j
         WHERE j.user_id = p_user AND j.finished_at IS NOT NULL
           AND (j.content_blanked_at IS NULL OR j.idempotency_key IS NOT NULL
                OR j.request_digest <> '' OR j.error_message <> '')
         LIMIT p_limit
           FOR UPDATE) found;
    UPDATE aifeature_job
       SET input = NULL, result = NULL, partial_text = '', approval_reason = '', error_message = '',
           idempotency_key = NULL,
           request_digest = '',
           content_blanked_at = coalesce(content_blanked_at, statement_timestamp())
     WHERE id = ANY (chosen);
    PERFORM aif_blank_calls(chosen);
    PERFORM aif_blank_feedback(chosen);
    RETURN coalesce(cardinality(chosen), 0);
END
$$;
