"use strict";

(() => {
  const byId = (id) => document.getElementById(id);
  const rows = [...document.querySelectorAll("tr.case")];
  const form = byId("filters");
  const help = byId("help");
  const columns = [...document.querySelectorAll(".matrix > thead th")].length;
  const LONGEST = 4_000_000; // Cells of the table that finds a word difference.
  const LEAST_SHARED = 0.25; // Share of common words below which a difference shows nothing.
  const SHORT = 40; // Characters of a value that is beside its name.
  const usual = form.elements.show.value;

  /** Texts of the cases. Null until they are unpacked. */
  let contents = null;
  let open = null;
  let diff = true;

  /* Elements. Text of cases is only ever a text node. */

  function make(name, className, ...children) {
    const found = document.createElement(name);
    if (className) found.className = className;
    found.append(...children.filter((child) => child !== null));
    return found;
  }

  /** Return a JSON value as text. A list in a list holds alternatives. */
  function text(value, isInList = false) {
    if (typeof value === "string") return value;
    if (value === null || typeof value !== "object") return JSON.stringify(value);
    if (!Array.isArray(value)) {
      return Object.entries(value).map(([name, each]) => `${name}:${Array.isArray(each) ? "\n" : " "}${text(each)}`).join("\n");
    }
    if (value.some((each) => each !== null && typeof each === "object" && !Array.isArray(each))) {
      return value.map((each) => text(each, true)).join("\n\n");
    }
    return isInList ? value.map((each) => text(each, true)).join(" or ") : value.map((each) => `• ${text(each, true)}`).join("\n");
  }

  function shown(value) {
    const found = make("p", "value", text(value));
    found.dir = "auto";
    return found;
  }

  function fields(object, show = shown) {
    return Object.entries(object).map(([name, value]) => {
      const short = value === null || typeof value !== "object" ? text(value).length <= SHORT : false;
      return make("div", short ? "field short" : "field", make("span", "name", name), show(value, name));
    });
  }

  /* Differences between two texts, by words. */

  const WORD = /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}]|[\p{L}\p{N}_]+|\s+|[^]/gu;

  /** Return runs of words as [sign, text]: 0 for common, -1 for removed, 1 for added; or null. */
  function difference(before, after) {
    const a = before.match(WORD) || [];
    const b = after.match(WORD) || [];
    let start = 0;
    let end = 0;
    while (start < Math.min(a.length, b.length) && a[start] === b[start]) start += 1;
    while (end < Math.min(a.length, b.length) - start && a[a.length - 1 - end] === b[b.length - 1 - end]) end += 1;
    const n = a.length - end - start;
    const m = b.length - end - start;
    if (n * m > LONGEST) return null;
    const wide = m + 1;
    const longest = new Uint32Array((n + 1) * wide);
    for (let i = n - 1; i >= 0; i -= 1) {
      for (let j = m - 1; j >= 0; j -= 1) {
        longest[i * wide + j] = a[start + i] === b[start + j]
          ? longest[(i + 1) * wide + j + 1] + 1
          : Math.max(longest[(i + 1) * wide + j], longest[i * wide + j + 1]);
      }
    }
    const runs = [];
    const add = (sign, word) => {
      const last = runs[runs.length - 1];
      if (last && last[0] === sign) last[1] += word;
      else runs.push([sign, word]);
    };
    a.slice(0, start).forEach((word) => add(0, word));
    let i = 0;
    let j = 0;
    while (i < n || j < m) {
      if (i < n && j < m && a[start + i] === b[start + j]) {
        add(0, a[start + i]);
        i += 1;
        j += 1;
      } else if (j >= m || (i < n && longest[(i + 1) * wide + j] >= longest[i * wide + j + 1])) {
        add(-1, a[start + i]);
        i += 1;
      } else {
        add(1, b[start + j]);
        j += 1;
      }
    }
    a.slice(a.length - end).forEach((word) => add(0, word));
    const common = runs.reduce((sum, [sign, run]) => sum + (sign ? 0 : run.length), 0);
    return common < LEAST_SHARED * Math.max(before.length, after.length) ? null : runs;
  }

  function compared(before, after) {
    const runs = difference(text(before), text(after));
    if (runs === null) return shown(after);
    const parts = runs.map(([sign, run]) => (sign ? make(sign > 0 ? "ins" : "del", "", run) : run));
    const found = make("p", "value", ...parts);
    found.dir = "auto";
    return found;
  }

  /* One case. */

  const OUTCOMES = { true: "passed", false: "failed", null: "unscored" };
  const WORDS = { passed: "✓ passed", failed: "✗ failed", unscored: "not scored" };

  function sampleOf(sample, title, against) {
    const outcome = OUTCOMES[sample.passed];
    const head = make("header", "", make("b", "", title), make("span", "outcome", sample.state === "scored" || sample.state === "unscored" ? WORDS[outcome] : sample.state));
    const body = [];
    if (sample.problem) body.push(make("p", "problem", sample.problem));
    if (sample.output !== undefined) {
      const output = contents.outputs[sample.output];
      const before = against && against.output !== undefined ? contents.outputs[against.output] : null;
      if (before && diff && sample.output === against.output) head.append(make("small", "", "same output as the baseline"));
      body.push(...fields(output, (value, name) => (before && diff && name in before ? compared(before[name], value) : shown(value))));
    }
    const parts = (sample.parts || []).map((number) => contents.parts[number]);
    const list = parts.map((part) => {
      const item = make("li", part.passed ? "yes" : "no", make("span", "", part.note ? `${part.scorer}: ${part.note}` : part.scorer));
      return item;
    });
    if (list.length) body.push(make("ul", "parts", ...list));
    const scores = (sample.judgement || []).map((each) => make("li", "", make("b", each.score < 3 ? "low" : "", `${each.criterion} ${each.score}/5`), make("span", "", ` ${each.reason}`)));
    if (scores.length) body.push(make("ul", "judged", ...scores));
    const facts = [];
    if (sample.score !== undefined) facts.push(`score ${sample.score.toFixed(2)}`);
    if (sample.cost) facts.push(`$${(sample.cost / 1e6).toFixed(6)}`);
    if (sample.latency) facts.push(`${(sample.latency / 1000).toFixed(1)} s`);
    if (sample.model) facts.push(sample.model);
    const calls = (sample.attempts || []).map((id) => make("code", "", id));
    if (facts.length || calls.length) body.push(make("footer", "", facts.join(" · "), ...calls));
    return make("article", `sample ${outcome}`, head, ...body);
  }

  function arms(found) {
    const side = ["baseline", "candidate", ...Object.keys(found).sort()].filter((arm, place, all) => found[arm] && all.indexOf(arm) === place && arm !== "plain" && arm !== "fresh");
    const most = Math.max(0, ...side.map((arm) => found[arm].length));
    const lines = [];
    for (let place = 0; place < most; place += 1) {
      const cards = side.filter((arm) => found[arm][place]).map((arm) => {
        const sample = found[arm][place];
        const against = arm === "baseline" ? null : (found.baseline || [])[place];
        return sampleOf(sample, `${titles[arm] || arm} · ${sample.repeat}`, against);
      });
      lines.push(make("div", `repeat ${["", "one", "two", "three"][Math.min(side.length, 3)]}`, ...cards));
    }
    for (const arm of ["fresh", "plain"]) {
      if (found[arm]) {
        lines.push(make("div", "repeat three", ...found[arm].map((sample) => sampleOf(sample, `${titles[arm] || arm} · ${sample.repeat}`, null))));
      }
    }
    return make("div", "arms", ...lines);
  }

  const titles = Object.fromEntries([...document.querySelectorAll(".matrix > thead th[data-arm]")].map((head) => [head.dataset.arm, head.textContent]));

  function detailOf(row) {
    const cell = make("td", "");
    cell.colSpan = columns;
    const found = contents && contents.cases[row.dataset.case];
    if (found) {
      const given = make("div", "", make("h4", "", "Input"), make("div", "box", ...fields(found.input)));
      const expected = make("div", "", make("h4", "", "Expected"), make("div", "box", ...fields(found.expected)));
      given.lastChild.tabIndex = 0;
      expected.lastChild.tabIndex = 0;
      if (found.note) expected.append(make("h4", "", "Author’s note"), shown(found.note));
      if (found.group) expected.append(make("h4", "", "Group"), shown(found.group));
      cell.append(make("div", "given", given, expected), make("h4", "", diff && found.arms.baseline && found.arms.candidate ? "Outputs, with words that differ from the baseline" : "Outputs"), arms(found.arms));
    } else if (contents) {
      cell.append(make("p", "hint", "This case is held out. Its input and outputs are not in this report."));
    } else {
      cell.append(make("p", "hint", failure || "The texts are being unpacked."));
    }
    return make("tr", "detail", cell);
  }

  function close() {
    if (!open) return;
    open.classList.remove("is-open");
    open.querySelector(".open").setAttribute("aria-expanded", "false");
    if (open.nextElementSibling && open.nextElementSibling.classList.contains("detail")) open.nextElementSibling.remove();
    open = null;
  }

  function show(row) {
    close();
    open = row;
    row.classList.add("is-open");
    row.querySelector(".open").setAttribute("aria-expanded", "true");
    row.after(detailOf(row));
  }

  function jump(row) {
    show(row);
    row.querySelector(".open").focus({ preventScroll: true });
    row.scrollIntoView({ block: "start" });
    remember();
  }

  /* Filters. */

  const cache = new Map();

  /** Return the text of a case for the search, in small letters. */
  function haystack(row) {
    const id = row.dataset.case;
    if (!cache.has(id)) {
      const found = contents && contents.cases[id];
      const numbers = found ? new Set(Object.values(found.arms).flat().map((sample) => sample.output)) : new Set();
      const outputs = [...numbers].filter((number) => number !== undefined).map((number) => text(contents.outputs[number]));
      const own = found ? [text(found.input), text(found.expected), found.note] : [];
      cache.set(id, [id, row.querySelector("th").textContent, ...own, ...outputs].join("\n").toLowerCase());
    }
    return cache.get(id);
  }

  function apply() {
    const { show: state, q, tag } = form.elements;
    const words = q.value.trim().toLowerCase();
    const number = tag.value ? tag.selectedOptions[0].dataset.number : "";
    let count = 0;
    for (const row of rows) {
      const fits = (state.value === "all" || row.dataset.states.split(" ").includes(state.value))
        && (!number || row.dataset.tags.split(" ").includes(number))
        && (!words || haystack(row).includes(words));
      row.hidden = !fits;
      if (!fits && row === open) close();
      count += fits ? 1 : 0;
    }
    byId("shown").textContent = `${count} of ${rows.length} cases`;
    byId("nothing").hidden = count > 0;
  }

  /* The address. It holds what differs from the page as it opens. */

  function remember() {
    const { show: state, q, tag } = form.elements;
    const found = new URLSearchParams();
    if (state.value !== usual) found.set("show", state.value);
    if (tag.value) found.set("tag", tag.value);
    if (q.value) found.set("q", q.value);
    if (!diff) found.set("diff", "0");
    if (open) found.set("case", open.dataset.case);
    history.replaceState(null, "", `#${found}`);
  }

  function recall() {
    const found = new URLSearchParams(location.hash.slice(1));
    const wanted = found.get("show") || usual;
    for (const input of form.elements.show) input.checked = input.value === wanted;
    if (!form.elements.show.value) form.elements.show.value = usual;
    form.elements.q.value = found.get("q") || "";
    form.elements.tag.value = found.get("tag") || "";
    if (form.elements.tag.selectedIndex < 0) form.elements.tag.selectedIndex = 0;
    diff = found.get("diff") !== "0";
    close();
    apply();
    const row = rows.find((each) => each.dataset.case === found.get("case"));
    if (row && !row.hidden) {
      show(row);
      row.scrollIntoView({ block: "start" });
    }
  }

  form.addEventListener("input", () => {
    apply();
    remember();
  });
  form.addEventListener("submit", (event) => event.preventDefault());
  byId("reset").addEventListener("click", () => {
    form.elements.show.value = "all";
    form.elements.q.value = "";
    form.elements.tag.value = "";
    apply();
    remember();
  });
  byId("help-button").addEventListener("click", () => help.showModal());
  byId("rows").addEventListener("click", (event) => {
    const row = event.target.closest("tr.case");
    if (!row || String(getSelection())) return;
    if (row === open) close();
    else show(row);
    remember();
  });
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[href^='#']");
    if (!link) return;
    event.preventDefault(); // The address keeps the filters.
    const section = byId(link.getAttribute("href").slice(1));
    section.focus({ preventScroll: true });
    section.scrollIntoView();
  });
  addEventListener("hashchange", recall);

  /* Keys. */

  function step(by, fits = () => true) {
    const visible = rows.filter((row) => !row.hidden);
    const focused = document.activeElement.closest("tr.case");
    const from = visible.indexOf(open || focused);
    const turned = by > 0 ? [...visible.slice(from + 1), ...(fits.wraps ? visible.slice(0, from + 1) : [])] : visible.slice(0, Math.max(0, from)).reverse();
    const row = turned.find(fits);
    if (row) jump(row);
    return Boolean(row);
  }

  const failed = Object.assign((row) => row.dataset.states.split(" ").includes("failed"), { wraps: true });

  const KEYS = {
    j: () => step(1),
    k: () => step(-1),
    f: () => {
      if (!step(1, failed)) byId("shown").textContent = "The candidate failed none of the shown cases.";
    },
    d: () => {
      diff = !diff;
      if (open) show(open);
      remember();
    },
    "/": () => form.elements.q.focus(),
    "?": () => help.showModal(),
    Escape: () => {
      if (!open) return;
      const row = open;
      close();
      row.querySelector(".open").focus();
      remember();
    },
  };

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || help.open) return;
    if (event.target.closest("input:not([type=radio]), select, textarea")) return;
    const act = Object.hasOwn(KEYS, event.key) ? KEYS[event.key] : null;
    if (!act) return;
    event.preventDefault();
    act();
  });

  /* Texts. */

  let failure = "";

  async function unpack() {
    try {
      const packed = Uint8Array.from(atob(byId("contents").textContent), (letter) => letter.charCodeAt(0));
      const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
      contents = await new Response(stream).json();
    } catch {
      failure = "This browser cannot unpack the texts. A newer one can.";
    }
    cache.clear();
    const wanted = new URLSearchParams(location.hash.slice(1)).get("q");
    if (wanted) apply();
    if (open) show(open);
    document.documentElement.dataset.ready = "";
  }

  recall();
  unpack();
})();
