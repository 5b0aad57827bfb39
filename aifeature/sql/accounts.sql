-- Run once: fill the account windows of today and yesterday from the users' windows per feature. A
-- running caller waits for the lock at its first window. If it leaves an account's window out, the
-- reconciler adds the amount within minutes.
LOCK TABLE aifeature_spendwindow IN SHARE ROW EXCLUSIVE MODE;
INSERT INTO aifeature_spendwindow (scope, key, day, spent_micro, held_micro, own_spend_micro)
SELECT 'account', split_part(w.key, ':', 2), w.day,
       sum(w.spent_micro), sum(w.held_micro), sum(w.own_spend_micro)
  FROM aifeature_spendwindow w
 WHERE w.scope = 'user' AND w.day >= (statement_timestamp() AT TIME ZONE 'UTC')::date - 1
 GROUP BY 2, 3
    ON CONFLICT (scope, key, day) DO NOTHING;
