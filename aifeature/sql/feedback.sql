-- Outcomes and answers to the NPS question. Each function takes a lock of the user first, and counts in
-- its next statement, which sees what other transactions stored meanwhile.

-- Store an outcome that the web app reports. With a job it counts once for the job; without one, once
-- for the user, the feature and the UTC day. A user has at most `p_most` outcomes in a day. Returns
-- whether a row was stored.
CREATE OR REPLACE FUNCTION aif_record_outcome(
    p_user @user_key@, p_feature text, p_name text, p_job uuid, p_most integer)
RETURNS boolean
LANGUAGE plpgsql
SET lock_timeout = '2s'
AS $$
DECLARE
    today CONSTANT timestamptz := date_trunc('day', statement_timestamp(), 'UTC');
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('aif_outcome:' || p_user::text, 0));
    INSERT INTO aifeature_jobsignal (kind, name, job_id, user_id, feature)
    SELECT 'outcome', p_name, p_job, p_user, p_feature
     WHERE (SELECT count(*) FROM aifeature_jobsignal s
             WHERE s.user_id = p_user AND s.kind = 'outcome' AND s.at >= today) < p_most
       AND (p_job IS NOT NULL OR NOT EXISTS (
                SELECT 1 FROM aifeature_jobsignal s
                 WHERE s.user_id = p_user AND s.kind = 'outcome' AND s.at >= today
                   AND s.feature = p_feature AND s.name = p_name AND s.job_id IS NULL))
        ON CONFLICT DO NOTHING;
    RETURN FOUND;
END
$$;

-- Store an answer to the NPS question, or with a NULL score that the user does not want to answer. Returns
-- false, and stores nothing, if the user answered within the last `p_days` days.
CREATE OR REPLACE FUNCTION aif_answer_nps(
    p_user @user_key@, p_feature text, p_score integer, p_days integer)
RETURNS boolean
LANGUAGE plpgsql
SET lock_timeout = '2s'
AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('aif_nps:' || p_user::text, 0));
    INSERT INTO aifeature_npsanswer (user_id, feature, score)
    SELECT p_user, p_feature, p_score
     WHERE NOT EXISTS (
               SELECT 1 FROM aifeature_npsanswer n
                WHERE n.user_id = p_user
                  AND n.at > statement_timestamp() - make_interval(days => p_days));
    RETURN FOUND;
END
$$;
