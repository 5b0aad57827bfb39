// Draws the tables of the dashboard as charts, and fetches new figures while the page is visible.
(() => {
  const EACH_MS = 15_000;
  const STALE_MS = 60_000;
  const WHOLE_EACH = 4; // Charts change slowly, so that every fourth request fetches them too.
  const part = document.getElementById("dash");
  const problem = document.getElementById("dash-problem");
  const pause = document.getElementById("dash-pause");
  const charts = new Map();
  let freshAt = Date.now();
  let isPaused = false;
  let timer = 0;
  let turn = 0;

  // Charts ------------------------------------------------------------------------------------

  const colour = (name) => getComputedStyle(part.parentElement).getPropertyValue(name).trim();
  const SHAPES = {
    a: { colour: "--aif-a", borderWidth: 2 },
    b: { colour: "--aif-b", borderWidth: 2 },
    c: { colour: "--aif-c", borderWidth: 2 },
    d: { colour: "--aif-d", borderWidth: 2 },
    before: { colour: "--aif-quiet", borderWidth: 1.5, borderDash: [5, 4] },
    limit: { colour: "--aif-bad", borderWidth: 1.5, borderDash: [2, 3] },
    low: { colour: "--aif-a", borderWidth: 0 },
    high: { colour: "--aif-a", borderWidth: 0, fill: "-1" },
  };

  // Return what a figure's table has: labels, columns that are drawn, and marks.
  const read = (figure) => {
    const rows = [...figure.querySelectorAll("tbody tr")];
    const heads = [...figure.querySelectorAll("thead th")].slice(1);
    const columns = heads
      .map((head, at) => ({
        title: head.textContent,
        role: head.dataset.role,
        values: rows.map((row) => {
          const raw = row.cells[at + 1].dataset.raw;
          return raw === "" ? null : Number(raw);
        }),
      }))
      .filter((column) => column.role !== "none");
    const marks = [...figure.querySelectorAll("[data-place]")].map((item) => ({
      number: item.value,
      place: Number(item.dataset.place),
    }));
    return { labels: rows.map((row) => row.cells[0].textContent), columns, marks };
  };

  // The last step of a range is not over, so that the line to it is thin.
  const toOpenStep = (values) => ({
    borderWidth: ({ p1DataIndex: at }) => (at === values.length - 1 ? 1 : undefined),
    borderDash: ({ p1DataIndex: at }) => (at === values.length - 1 ? [2, 2] : undefined),
  });

  const dataset = ({ title, role, values }, isOpen) => {
    const { colour: name, ...shape } = SHAPES[role];
    const line = colour(name);
    return {
      label: title,
      data: values,
      borderColor: line,
      backgroundColor: role === "high" ? `color-mix(in srgb, ${line} 16%, transparent)` : line,
      pointRadius: values.length < 15 && shape.borderWidth === 2 ? 2.5 : isolated(values, shape),
      pointStyle: "circle",
      pointHitRadius: 12,
      spanGaps: false,
      segment: isOpen && shape.borderWidth === 2 ? toOpenStep(values) : {},
      order: role === "before" || role === "limit" ? 2 : 1,
      ...shape,
    };
  };

  // A value between two gaps has no line, so it is drawn as a point.
  const isolated = (values, shape) => ({ dataIndex: at }) =>
    shape.borderWidth === 2 && values[at - 1] == null && values[at + 1] == null ? 2.5 : 0;

  const text = (value, unit) =>
    unit === "USD"
      ? `$${value.toLocaleString("en", { maximumFractionDigits: Math.abs(value) < 1 ? 4 : 2 })}`
      : `${value.toLocaleString("en", { maximumFractionDigits: 2 })}${unit ? ` ${unit}` : ""}`;

  const markers = {
    id: "aifMarkers",
    afterDatasetsDraw(chart) {
      const { ctx, chartArea, scales } = chart;
      const last = chart.data.labels.length - 1;
      ctx.save();
      ctx.strokeStyle = ctx.fillStyle = colour("--aif-quiet");
      ctx.font = "600 10px Inter";
      ctx.textAlign = "center";
      ctx.setLineDash([3, 3]);
      let end = -Infinity;
      for (const { number, place } of chart.aifMarks || []) {
        const below = Math.min(Math.floor(place), last);
        const left = scales.x.getPixelForValue(below);
        const right = below < last ? scales.x.getPixelForValue(below + 1) : chartArea.right;
        const x = Math.min(left + (place - below) * (right - left), chartArea.right);
        ctx.beginPath();
        ctx.moveTo(x, chartArea.top);
        ctx.lineTo(x, chartArea.bottom);
        ctx.stroke();
        if (x - end < 14) continue;
        ctx.fillText(number, x, chartArea.top - 4);
        end = x;
      }
      ctx.restore();
    },
  };

  const options = (unit, isLong) => ({
    animation: false,
    responsive: true,
    maintainAspectRatio: false,
    layout: { padding: { top: 14, right: 8 } },
    interaction: { mode: "index", intersect: false },
    plugins: {
      legend: { display: false },
      tooltip: {
        filter: (item) => item.raw !== null,
        callbacks: { label: (item) => `${item.dataset.label}: ${text(item.raw, unit)}` },
      },
    },
    scales: {
      x: {
        grid: { display: false },
        ticks: { maxRotation: 0, maxTicksLimit: isLong ? 4 : 7, color: colour("--aif-quiet") },
      },
      y: {
        beginAtZero: true,
        grid: { color: colour("--aif-line") },
        border: { display: false },
        ticks: {
          maxTicksLimit: 5,
          color: colour("--aif-quiet"),
          callback: (value) => text(value, unit),
        },
      },
    },
  });

  const draw = (figure) => {
    const canvas = figure.querySelector("canvas");
    const known = charts.get(figure.id);
    if (known && known.canvas !== canvas) {
      known.destroy();
      charts.delete(figure.id);
    }
    if (!canvas || typeof Chart === "undefined") return;
    const found = read(figure);
    const isOpen = figure.hasAttribute("data-open");
    const data = {
      labels: found.labels,
      datasets: found.columns.map((column) => dataset(column, isOpen)),
    };
    const drawn = options(figure.dataset.unit, found.labels.some((label) => label.length > 8));
    let chart = charts.get(figure.id);
    if (chart) {
      chart.data = data;
      chart.options = drawn;
    } else {
      chart = new Chart(canvas, {
        type: "line",
        data,
        options: drawn,
        plugins: [markers],
      });
      charts.set(figure.id, chart);
    }
    chart.aifMarks = found.marks;
    chart.update("none");
  };

  const drawAll = () => {
    const figures = part.querySelectorAll("figure[data-unit]");
    for (const figure of figures) draw(figure);
  };

  // The tables are open without a script. With one, charts show them, and a reader opens a table.
  const close = () => {
    for (const details of part.querySelectorAll("details.aif-dash-data:not([data-ready])")) {
      details.open = false;
      details.dataset.ready = "";
    }
  };

  // New figures -------------------------------------------------------------------------------

  const KEPT = new Set(["open", "data-ready"]);

  // Make `old` like `fresh` and change no more, so that focus, scrolling and open tables stay.
  const morph = (old, fresh) => {
    if (old.isEqualNode(fresh)) return;
    if (old.nodeType !== fresh.nodeType || old.nodeName !== fresh.nodeName || old.id !== fresh.id) {
      old.replaceWith(fresh);
      return;
    }
    if (old.nodeType !== Node.ELEMENT_NODE) {
      if (old.nodeValue !== fresh.nodeValue) old.nodeValue = fresh.nodeValue;
      return;
    }
    if (old.hasAttribute("data-keep") && fresh.hasAttribute("data-keep")) {
      // Drawn or wrapped by a script. A chart is drawn again from its table.
      const label = fresh.querySelector("canvas")?.getAttribute("aria-label");
      if (label) old.querySelector("canvas")?.setAttribute("aria-label", label);
      return;
    }
    const isOurs = (name) => old.nodeName === "DETAILS" && KEPT.has(name);
    for (const { name } of [...old.attributes]) {
      if (!isOurs(name) && !fresh.hasAttribute(name)) old.removeAttribute(name);
    }
    for (const { name, value } of fresh.attributes) {
      if (!isOurs(name) && old.getAttribute(name) !== value) old.setAttribute(name, value);
    }
    const children = [...old.childNodes];
    const wanted = [...fresh.childNodes];
    wanted.forEach((child, at) => {
      if (at < children.length) morph(children[at], child);
      else old.append(child);
    });
    for (const child of children.slice(wanted.length)) child.remove();
  };

  const say = (words, link) => {
    problem.textContent = words;
    if (link) {
      const anchor = document.createElement("a");
      anchor.href = link;
      anchor.className = "aif-link";
      anchor.textContent = "Sign in";
      problem.append(" ", anchor);
    }
    problem.hidden = !words;
  };

  const asOf = () => document.getElementById("dash-as-of")?.textContent || "an unknown time";

  const refresh = async () => {
    clearTimeout(timer);
    if (document.hidden || isPaused) return;
    try {
      turn += 1;
      const isWhole = turn % WHOLE_EACH === 0;
      const answer = await fetch(`${part.dataset.url}${isWhole ? "" : "&part=now"}`, {
        redirect: "manual",
        headers: { "X-Requested-With": "dashboard" },
        signal: AbortSignal.timeout(EACH_MS),
      });
      if (answer.type === "opaqueredirect" || answer.status === 403) {
        say(`You are signed out. The figures are of ${asOf()}.`, part.dataset.signIn);
        return; // no further request without a session
      }
      if (!answer.ok) throw new Error(String(answer.status));
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      for (const fresh of page.querySelectorAll(".aif-dash-part")) {
        const old = document.getElementById(fresh.id);
        if (old) morph(old, document.importNode(fresh, true));
      }
      close();
      if (isWhole) drawAll();
      freshAt = Date.now();
      say("");
    } catch {
      const old = Date.now() - freshAt > STALE_MS ? " They are stale." : "";
      say(`New figures could not be fetched. Those shown are of ${asOf()}.${old} The next try is in 15 seconds.`);
    }
    timer = setTimeout(refresh, EACH_MS);
  };

  document.addEventListener("visibilitychange", refresh);
  pause.addEventListener("click", () => {
    isPaused = !isPaused;
    pause.setAttribute("aria-pressed", String(isPaused));
    say(isPaused ? `Updates are paused. The figures are of ${asOf()}.` : "");
    refresh();
  });

  // Theme and print ---------------------------------------------------------------------------

  new MutationObserver(drawAll).observe(document.documentElement, {
    attributes: true,
    attributeFilter: ["class"],
  });
  let wasDark = false;
  let opened = [];
  addEventListener("beforeprint", () => {
    opened = [...part.querySelectorAll("figure details:not([open])")];
    for (const details of opened) details.open = true;
    wasDark = document.documentElement.classList.contains("dark");
    document.documentElement.classList.remove("dark");
    drawAll();
    for (const chart of charts.values()) chart.resize();
  });
  addEventListener("afterprint", () => {
    for (const details of opened) details.open = false;
    if (wasDark) document.documentElement.classList.add("dark");
    drawAll();
    for (const chart of charts.values()) chart.resize();
  });

  close();
  drawAll();
  timer = setTimeout(refresh, EACH_MS);
})();
