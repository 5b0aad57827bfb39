"""Export, erasure and retention of personal data.

Public: `closing`, `erasure`, `export`, `records`, `retention`.

Places of personal data, and the effect of an erasure. Data outside this database is covered by
deploy/runbooks/erase-a-person.md. A test lists every column that points to an account. If you add
one, describe its erasure here.

* account: renamed to `erased-<id>`, inactive, without names, address, password, last sign-in,
  groups and permissions.
* jobs: input, result, sentence, idempotency key and digest are blanked; times, tokens, codes and
  the charge stay.
* provider calls: request, output and error detail are blanked; tokens and cost stay.
* guard events: the evidence, words of an input or an answer, is blanked; category and action
  stay. Retention deletes whole rows after GUARD_EVENT_DAYS.
* feedback: comment and answer are blanked; rating, reasons, signals, outcomes and NPS scores stay,
  without words of a person.
* copies of a request in jobs of a shadow and of its judge: blanked with the request, by retention
  too. The export names the requests, without the answers that no user was shown.
* counts of refused submissions: deleted.
* API tokens: revoked, names blanked.
* sessions with their browsers, and failed sign-ins with the name or the address: deleted.
* invitations to features: removed.
* the user's rate overrides: deleted. Overrides for others and launches that the user created stay
  and name the user by id. The command lists those whose texts contain the name.
* admin's log: the name is removed from entries about the account and its tokens, and messages that
  contain it are blanked. The user's own actions stay, under the account's new name.
* audit log and reasons of settlements: never edited. They name accounts by id. People typed the
  texts, so the command lists those that contain the name.
* Redis: text streams of jobs of the last two hours are deleted; older ones have expired. A frozen
  worker may still write to the stream of its old epoch. It is never read and expires within an
  hour.

Size limit: 950 lines.
"""

from aifeature.services.privacy import closing, erasure, export, records, retention

__all__ = ["closing", "erasure", "export", "records", "retention"]
