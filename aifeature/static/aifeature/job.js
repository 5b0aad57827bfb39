// Follows a job: streamed text, state changes and the end. Only the server renders the parts of the
// page; this script loads them again when the job's state has changed.
"use strict";

(() => {
  const POLL_MS = 3000;
  const REVIEW_MS = 60_000; // a person may take days
  const RETRY_MS = 1500;
  const TICK_MS = 100;

  const root = document.getElementById("job");
  const announcer = document.getElementById("announce");
  let text = "";
  let source = null;
  let clock = null;
  let waitMessage = ""; // from the stream: why a running job has no text yet

  const state = () => root.querySelector("[data-state]");
  const isLive = () => "events" in state().dataset;
  const isInReview = () => "inReview" in state().dataset;

  function show() {
    const place = root.querySelector("[data-stream]");
    if (!place || !text) return;
    let words = place.querySelector(".words");
    if (!words) {
      words = document.createElement("p");
      words.className = "words";
      words.append("");
      place.replaceChildren(words);
    }
    const shown = words.firstChild;
    if (text.startsWith(shown.data)) shown.appendData(text.slice(shown.data.length));
    else shown.data = text;
  }

  function showSentence() {
    const place = root.querySelector("[data-sentence]");
    place.dataset.sentence ||= place.textContent; // from the server
    const sentence = (state().dataset.state === "running" && waitMessage) || place.dataset.sentence;
    if (place.textContent === sentence) return;
    place.textContent = sentence;
    announcer.textContent = sentence;
  }

  function duration(ms) {
    const seconds = ms / 1000;
    if (seconds < 60) return `${seconds.toFixed(1)} s`;
    const minutes = Math.floor(seconds / 60);
    if (minutes < 60) return `${minutes} min ${Math.floor(seconds % 60)} s`;
    return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
  }

  function startClock() {
    clearInterval(clock);
    const place = root.querySelector("[data-took]");
    if (!place) return;
    // Use the age from the server: this machine's clock may be wrong.
    const born = performance.now() - Number(place.dataset.took);
    clock = setInterval(() => { place.textContent = duration(performance.now() - born); }, TICK_MS);
  }

  function announce() {
    const sentence = root.querySelector("[data-sentence]").textContent;
    const answer = root.querySelector("[data-answer]");
    const took = isLive() ? "" : root.querySelector(".clock").textContent.trim();
    announcer.textContent = [state().dataset.label, took, sentence, answer ? answer.innerText : ""]
      .filter(Boolean).join(". ");
  }

  const later = (ms) => new Promise((done) => { setTimeout(done, ms); });

  const ENDED = new Set(["succeeded", "failed", "cancelled", "rejected", "needs_approval"]);
  let turn = 0; // number of the latest refresh: responses may arrive out of order

  async function fetchPart() {
    for (;;) {
      try {
        const response = await fetch(root.dataset.part, { cache: "no-store" });
        if (response.redirected || [401, 403, 404].includes(response.status)) {
          location.reload(); // signed out, or gone: show the page that explains it
          return null;
        }
        if (response.ok) return await response.text();
      } catch {
        // No connection: retry below.
      }
      await later(RETRY_MS);
    }
  }

  async function refresh() {
    const mine = ++turn;
    const part = await fetchPart();
    if (part === null || mine !== turn) return; // a later refresh has started
    const before = state().dataset;
    const hadFocus = root.contains(document.activeElement);
    root.innerHTML = part;
    document.dispatchEvent(new Event("part:loaded"));
    show();
    showSentence();
    startClock();
    const now = state().dataset;
    document.title = `${now.label} · ${root.dataset.title}`;
    if (hadFocus) root.querySelector("[data-sentence]").focus();
    if (before.label !== now.label || before.message !== now.message) announce();
  }

  function stop() {
    if (source) source.close();
    source = null;
  }

  async function finish() {
    stop();
    await refresh();
    if (isLive()) poll(); // the stream was ahead of the page
    else awaitReview();
  }

  // Without a stream (too many open, or blocked by a proxy) load the page's part at intervals.
  async function poll() {
    while (isLive()) {
      await later(POLL_MS);
      await refresh();
    }
    awaitReview();
  }

  let reviewing = false;

  async function awaitReview() {
    if (reviewing) return;
    reviewing = true;
    while (isInReview()) {
      await later(REVIEW_MS);
      if (!document.hidden) await refresh();
    }
    reviewing = false;
  }

  function follow() {
    source = new EventSource(state().dataset.events);
    source.addEventListener("status", (event) => {
      const { status, message } = JSON.parse(event.data);
      if (ENDED.has(status)) return; // the last event follows immediately and refreshes
      waitMessage = (status === "running" && message) || "";
      const seen = state().dataset;
      if (status !== seen.state || (status === "queued" && (message || "") !== seen.message)) {
        refresh().then(() => {
          if (isLive()) return;
          stop();
          awaitReview();
        });
      } else showSentence();
    });
    source.addEventListener("delta", (event) => {
      text += JSON.parse(event.data).text;
      show();
    });
    source.addEventListener("reset", (event) => {
      text = JSON.parse(event.data).text;
      show();
    });
    source.addEventListener("result", finish);
    source.addEventListener("error", (event) => {
      if (event instanceof MessageEvent) finish(); // an error of the job, not of the connection
      else if (source && source.readyState === EventSource.CLOSED) {
        stop();
        poll();
      }
    });
  }

  root.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-copy]");
    if (!button) return;
    try {
      await navigator.clipboard.writeText(root.querySelector("[data-answer]").innerText);
      button.textContent = "Copied";
      announcer.textContent = "Copied.";
    } catch {
      button.textContent = "Your browser blocked copying";
    }
  });

  startClock();
  if (isLive()) follow();
  else awaitReview();
})();
