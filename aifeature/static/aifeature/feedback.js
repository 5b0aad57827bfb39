// Sends ratings without a reload, and notes what the reader does. Without scripts, the forms work too.
"use strict";

(() => {
  const NOT_SENT = "Not saved. Check your connection and try again.";
  const number = new Intl.NumberFormat();
  const root = document.getElementById("job");

  // Ratings and the NPS question: the response replaces the form's section.
  document.addEventListener("submit", async (event) => {
    const section = event.target.closest("[data-rate], [data-nps]");
    if (!section) return;
    event.preventDefault();
    if (section.hasAttribute("aria-busy")) return;
    section.setAttribute("aria-busy", "true");
    const body = new FormData(event.target);
    if (event.submitter?.name) body.append(event.submitter.name, event.submitter.value);
    try {
      const response = await fetch(`${event.target.action}?part`, { method: "POST", body });
      if (response.redirected || [401, 403, 404].includes(response.status)) {
        location.reload(); // signed out, or gone: show the page that explains it
        return;
      }
      if (!response.ok && response.status !== 422) throw new Error(response.status);
      replace(section, await response.text());
    } catch {
      const trouble = section.querySelector("[data-trouble]");
      trouble.hidden = false;
      trouble.textContent = NOT_SENT;
      section.removeAttribute("aria-busy");
    }
  });

  function replace(section, html) {
    const template = document.createElement("template");
    template.innerHTML = html;
    const fresh = template.content.firstElementChild;
    section.replaceWith(fresh);
    count(fresh);
    (fresh.querySelector("h2") ?? fresh).focus({ preventScroll: true });
  }

  // Show how many characters are left. Text is never cut.
  function count(part) {
    const field = part.querySelector?.("[data-most]");
    if (!field) return;
    const status = part.querySelector("[data-count]");
    const idle = status.textContent;
    const most = Number(field.dataset.most);
    const update = () => {
      const left = most - [...field.value].length;
      status.classList.toggle("over", left < 0);
      if (left < 0) status.textContent = `${number.format(-left)} characters over the limit.`;
      else if (field.value) status.textContent = `${number.format(left)} characters left.`;
      else status.textContent = idle;
    };
    field.addEventListener("input", update);
    update();
  }

  count(document);
  if (!root) return;
  document.addEventListener("part:loaded", () => count(root));

  // Signals. The browser sends them in the background, and nobody waits for the response.
  const noted = new Set();

  function note(name) {
    const token = document.querySelector("[name=csrfmiddlewaretoken]");
    if (!token || !navigator.sendBeacon) return;
    const body = new FormData();
    body.append("csrfmiddlewaretoken", token.value);
    body.append("name", name);
    navigator.sendBeacon(root.dataset.signals, body);
  }

  function noteOnce(name) {
    if (noted.has(name)) return;
    noted.add(name);
    note(name);
  }

  document.addEventListener("copy", () => {
    const answer = root.querySelector("[data-answer]");
    if (answer?.contains(document.getSelection()?.anchorNode)) noteOnce("copied");
  });
  root.addEventListener("click", (event) => {
    if (event.target.closest("[data-copy]")) noteOnce("copied");
  });

  const state = () => root.querySelector("[data-state]");
  const noteReading = () => { if ("wasLeft" in state().dataset) noteOnce("read"); };

  addEventListener("pagehide", () => { if ("events" in state().dataset) note("abandoned"); });
  document.addEventListener("part:loaded", noteReading);
  noteReading();
})();
