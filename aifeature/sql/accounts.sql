-- Once: the windows of accounts, of today and yesterday, begin with what the users' windows of their features hold. A caller
-- that runs waits at the lock, at the first window it touches; what it then leaves out of an account's
-- window the reconciler adds within minutes.
LOCK TABLE aifeature_spendwindow IN SHARE ROW EXCLUSIVE MODE;
INSERT INTO aifeature_spendwindow (scope, key, day, spent_micro, held_micro, own_spend_micro)
SELECT 'account', split_part(w.key, ':', 2), w.day,
       sum(w.spent_micro), sum(w.held_micro), sum(w.own_spend_micro)
  FROM aifeature_spendwindow w
 WHERE w.scope = 'user' AND w.day >= (statement_timestamp() AT TIME ZONE 'UTC')::date - 1
 GROUP BY 2, 3
    ON CONFLICT (scope, key, day) DO NOTHING;
