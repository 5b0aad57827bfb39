// Saves the values of a feature's form in this tab until they are sent, so that a reload or an ended
// session does not lose them. A draft belongs to its user. It is deleted when the tab shows a page
// of another user, at a sign-out, and after an hour. A sent draft keeps its key: if it is sent again
// because the response was lost, it stays one job.
"use strict";

(() => {
  const PREFIX = "draft:";
  const MOST_AGE_MS = 60 * 60 * 1000;
  const PAUSE_MS = 300;
  const FIELD = "in-";

  const owner = document.body.dataset.owner ?? "";
  const channel = "BroadcastChannel" in window ? new BroadcastChannel("drafts") : null;
  let isSignedOut = false;

  // If storage is off or full, nothing is saved and everything else works.
  function attempt(action) {
    try {
      return action();
    } catch {
      return undefined;
    }
  }

  function names() {
    return attempt(() => Object.keys(sessionStorage).filter((name) => name.startsWith(PREFIX))) ?? [];
  }

  function read(name) {
    return attempt(() => JSON.parse(sessionStorage.getItem(name))) ?? null;
  }

  function remove(name) {
    attempt(() => sessionStorage.removeItem(name));
  }

  function removeAll() {
    names().forEach(remove);
  }

  function signOut() {
    isSignedOut = true;
    removeAll();
  }

  function isOf(draft, user) {
    const age = Date.now() - draft.at;
    return draft.owner === user && age >= 0 && age < MOST_AGE_MS && Array.isArray(draft.entries);
  }

  function removeForeign() {
    for (const name of names()) {
      const draft = read(name);
      if (!draft || !isOf(draft, owner || draft.owner)) remove(name);
    }
  }

  // The job of a draft contains the form's key.
  function removeSent(key) {
    for (const name of names()) {
      const draft = read(name);
      if (draft?.key && key.includes(draft.key)) remove(name);
    }
  }

  // The server has answered that nothing was sent.
  function markUnsent() {
    for (const name of names()) {
      const draft = read(name);
      if (draft) attempt(() => sessionStorage.setItem(name, JSON.stringify({ ...draft, isSent: false })));
    }
  }

  function entriesOf(form) {
    return [...new FormData(form)].filter(
      ([name, value]) => name.startsWith(FIELD) && typeof value === "string",
    );
  }

  function fill(form, entries) {
    for (const control of form.elements) {
      if (!control.name.startsWith(FIELD) || control.type === "file") continue;
      const values = entries.filter(([name]) => name === control.name).map(([, value]) => value);
      if (control.type === "checkbox" || control.type === "radio") {
        control.checked = values.includes(control.value);
      } else if (control.type === "select-multiple") {
        for (const option of control.options) option.selected = values.includes(option.value);
      } else if (values.length) {
        [control.value] = values;
      }
      control.dispatchEvent(new Event("input", { bubbles: true }));
    }
  }

  function watch(form) {
    const name = PREFIX + form.getAttribute("action");
    const freshKey = form.elements.key.value;
    const untouched = JSON.stringify(entriesOf(form));
    const note = document.querySelector("[data-restored]");
    let timer = null;

    function save({ isSent = false } = {}) {
      clearTimeout(timer);
      timer = null;
      if (isSignedOut) return;
      const entries = entriesOf(form);
      if ("pristine" in form.dataset && JSON.stringify(entries) === untouched) remove(name);
      else {
        const key = form.elements.key.value;
        const draft = { owner, key, at: Date.now(), isSent, entries };
        attempt(() => sessionStorage.setItem(name, JSON.stringify(draft)));
      }
    }

    const draft = read(name);
    if (draft && "pristine" in form.dataset) {
      fill(form, draft.entries);
      form.elements.key.value = draft.key;
      note.querySelector("[data-not-sent]").hidden = draft.isSent;
      note.querySelector("[data-perhaps-sent]").hidden = !draft.isSent;
      note.hidden = false;
    } else if (draft) save(); // the server has refused it
    form.addEventListener("input", () => {
      clearTimeout(timer);
      timer = setTimeout(save, PAUSE_MS);
    });
    form.addEventListener("submit", () => save({ isSent: true }));
    window.addEventListener("pagehide", () => { if (timer !== null) save(); });
    note?.querySelector("button").addEventListener("click", () => {
      fill(form, JSON.parse(untouched));
      form.elements.key.value = freshKey;
      remove(name);
      note.hidden = true;
      form.querySelector("textarea, input:not([type=hidden])")?.focus();
    });
  }

  removeForeign();
  const sent = document.querySelector("[data-sent-key]");
  if (sent) removeSent(sent.dataset.sentKey);

  const form = document.querySelector("form[data-draft]");
  if (form && owner) watch(form);

  for (const leaving of document.querySelectorAll("form[data-signs-out]")) {
    leaving.addEventListener("submit", () => {
      signOut();
      channel?.postMessage("signed out");
    });
  }
  channel?.addEventListener("message", signOut);

  if (document.querySelector("[data-signed-out]")) { // also by admin's button
    signOut();
    channel?.postMessage("signed out");
  }
  if (document.querySelector("[data-unsent]")) markUnsent();

  const kept = document.querySelector("[data-kept]");
  if (kept && names().length) {
    kept.hidden = false;
    kept.querySelector("button").addEventListener("click", () => {
      removeAll();
      kept.hidden = true;
    });
  }
})();
