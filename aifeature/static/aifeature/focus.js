// Keyboard focus in admin: inside an open dialog, and on the errors of a failed save.
(() => {
  const REACHABLE =
    "a[href], button:not([disabled]), input:not([disabled]):not([type=hidden]), select:not([disabled]), textarea:not([disabled]), [tabindex='0']";
  let opener = null;

  const box = () => document.getElementById("modal-content");
  const isOpen = () => Boolean(box()?.getClientRects().length);
  const reachable = () =>
    [...box().querySelectorAll(REACHABLE)].filter((element) => element.getClientRects().length);

  const focusOn = (element) => {
    if (!element?.matches(REACHABLE)) element?.setAttribute("tabindex", "-1");
    element?.focus();
  };

  const opened = () => {
    const dialog = box();
    dialog.setAttribute("role", "dialog");
    dialog.setAttribute("aria-modal", "true");
    dialog.setAttribute("aria-labelledby", "dialog-title");
    dialog.setAttribute("aria-describedby", "dialog-description");
    document.getElementById("page").inert = true;
    const all = reachable();
    focusOn(all.find((element) => element.matches("input, select, textarea")) ?? all[0]);
  };

  const closed = () => {
    document.getElementById("page").inert = false;
    if (opener?.isConnected) opener.focus();
    opener = null;
  };

  // After htmx inserted a response: focus its error.
  const answered = () =>
    focusOn(box().querySelector("#dialog-form [aria-invalid=true], #dialog-form [role=alert]"));

  const keepInside = (event) => {
    if (event.key !== "Tab" || !isOpen()) return;
    const all = reachable();
    const [first, last] = [all[0], all.at(-1)];
    const now = document.activeElement;
    if (!box().contains(now) || now === (event.shiftKey ? first : last)) {
      event.preventDefault();
      (event.shiftKey ? last : first)?.focus();
    }
  };

  addEventListener("DOMContentLoaded", () => {
    document.getElementById("not-saved")?.focus();
    if (!box()) return;
    document.addEventListener("keydown", keepInside);
    document.addEventListener("htmx:beforeRequest", (event) => {
      if (event.detail.target === box()) opener = event.detail.elt;
    });
    document.addEventListener("htmx:afterSettle", () => isOpen() && answered());
    let wasOpen = false;
    new MutationObserver(() => {
      if (isOpen() === wasOpen) return;
      wasOpen = !wasOpen;
      (wasOpen ? opened : closed)();
    }).observe(box().parentElement, { attributes: true, attributeFilter: ["style", "x-cloak"] });
  });
})();
