// The search input of an autocomplete field has no label. It gets the label of its field, also
// when select2 adds it later.
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
