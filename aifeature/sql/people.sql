-- Counts of refused submissions, for the page about people.

-- Add counts of this UTC day: a JSON list of {user_id, feature, kind, count}. Users that do not exist any
-- more are left out. In the order of the key, so that two processes do not deadlock.
CREATE OR REPLACE FUNCTION aif_count_refused(p_counts jsonb)
RETURNS void
LANGUAGE sql
SET lock_timeout = '2s'
AS $$
    INSERT INTO aifeature_refusedsubmissions AS r (user_id, feature, day, kind, count)
    SELECT c.user_id, c.feature, (statement_timestamp() AT TIME ZONE 'UTC')::date, c.kind, c.count
      FROM jsonb_to_recordset(p_counts)
           AS c (user_id @user_key@, feature text, kind text, count integer)
      JOIN @user_table@ u ON u.@user_id@ = c.user_id AND u.is_active
     ORDER BY c.user_id, c.feature, c.kind
        ON CONFLICT (day, user_id, feature, kind) DO UPDATE SET count = r.count + excluded.count;
$$;
