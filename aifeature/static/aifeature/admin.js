// The search inside a field that completes names has no label of its own: it gets its field's,
// whenever one is made.
addEventListener("DOMContentLoaded", () => {
  const label = () => {
    for (const input of document.querySelectorAll(".select2-search__field:not([aria-label])")) {
      const select = input.closest(".select2-container")?.previousElementSibling;
      input.setAttribute("aria-label", select?.labels?.[0]?.textContent.trim() || "Search");
    }
  };
  label();
  new MutationObserver(label).observe(document.body, { childList: true, subtree: true });
});
