// Shows times in the user's time zone and language. Without scripts they are in UTC.
"use strict";

(() => {
  const format = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });

  function localise(part) {
    for (const time of part.querySelectorAll("time[data-local]")) {
      time.title = time.textContent;
      time.textContent = format.format(new Date(time.dateTime));
      time.removeAttribute("data-local");
    }
  }

  localise(document);
  for (const name of ["htmx:afterSettle", "part:loaded"]) {
    document.addEventListener(name, () => localise(document));
  }

  // A hidden page does not refresh its parts.
  document.addEventListener("htmx:beforeRequest", (event) => {
    if (document.hidden && event.target.hasAttribute("data-refreshes")) event.preventDefault();
  });

  // If loading a part fails, load the whole page: it explains the error and shows a reference.
  document.addEventListener("htmx:beforeSwap", (event) => {
    if (event.detail.xhr.status < 400) return;
    event.detail.isError = false;
    location.assign(event.detail.pathInfo.finalRequestPath);
  });
})();
