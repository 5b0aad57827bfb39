-- Run once: fill the months' windows from their days. Running callers wait for the lock at their first
-- window, and then reserve and settle in the month as well.
LOCK TABLE aifeature_spendwindow IN SHARE ROW EXCLUSIVE MODE;
INSERT INTO aifeature_spendwindow (scope, key, day, spent_micro, held_micro)
SELECT 'month', '', aif_month(w.day), sum(w.spent_micro), sum(w.held_micro)
  FROM aifeature_spendwindow w WHERE w.scope = 'global'
 GROUP BY aif_month(w.day)
    ON CONFLICT (scope, key, day) DO NOTHING;
