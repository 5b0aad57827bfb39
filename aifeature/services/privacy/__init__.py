"""Exports, erases and expires personal data.

Public: `closing`, `erasure`, `export`, `records`, `retention`.

Where personal data stands, and what an erasure makes of it. What lies outside this database is in
deploy/runbooks/erase-a-person.md. A test knows every table that points to an account: whoever adds
one says here what becomes of it.

* account: named `erased-<id>`, inactive, without names, address, password, last sign-in, groups
  and permissions.
* jobs: input, result, sentence, idempotency key and digest are blanked; times, tokens, codes and
  the charge stay.
* provider calls: request, output and error detail are blanked; tokens and cost stay.
* API tokens: revoked, and their names blanked.
* sessions with their browsers, and failed sign-ins with the name or the address: deleted.
* invitations to features: withdrawn.
* rates of their own: deleted. Rates they gave others, and launches they announced, stay and name
  them by id; the command tells which of their texts hold the name.
* admin's log: entries about the account and its tokens lose the name, and messages that hold it are
  blanked; what the person did in admin stays, under the account's new name.
* audit trail and reasons for settling a call: never edited. They name accounts by their ids; the
  texts were typed by people, so the command tells which of them hold the name.
* Redis: the text streams of the jobs of the last two hours are deleted; older ones have expired.
  A worker that was frozen may write into the dead stream of its epoch once more: nobody reads
  that, and it expires within the hour.

Size limit: 800 lines.
"""

from aifeature.services.privacy import closing, erasure, export, records, retention

__all__ = ["closing", "erasure", "export", "records", "retention"]
