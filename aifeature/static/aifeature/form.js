// Conveniences of a feature's form. Without scripts, the server reads files and checks lengths.
"use strict";

(() => {
  const form = document.querySelector("[data-submit-once]");
  if (!form) return;
  const button = form.querySelector("[data-busy]");
  const idle = button.textContent;
  const number = new Intl.NumberFormat();

  function release() {
    button.textContent = idle;
    button.removeAttribute("aria-disabled");
  }

  form.addEventListener("submit", (event) => {
    if (button.getAttribute("aria-disabled")) {
      event.preventDefault();
      return;
    }
    button.setAttribute("aria-disabled", "true");
    button.textContent = button.dataset.busy;
  });
  // After the Back button, the browser may restore the form with its button disabled.
  window.addEventListener("pageshow", release);

  form.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit(button);
  });

  function characters(text) {
    return text.length - (text.match(/[\uD800-\uDBFF]/g) || []).length;
  }

  // Show a count near and past the limit. Text is never cut.
  for (const field of form.querySelectorAll("[data-max]")) {
    const most = Number(field.dataset.max);
    const status = document.createElement("p");
    status.className = "help count";
    status.setAttribute("role", "status");
    field.after(status);
    const count = () => {
      const length = characters(field.value);
      status.classList.toggle("over", length > most);
      if (length > most) {
        status.textContent = `${number.format(length - most)} characters over the limit`;
      } else if (length > most * 0.9) {
        status.textContent = `${number.format(most - length)} characters left`;
      } else {
        status.textContent = "";
      }
    };
    field.addEventListener("input", count);
    count();
  }

  async function load(file, most) {
    if (file.size > most) {
      throw new Error(`This file has ${number.format(file.size)} bytes. The maximum is ${number.format(most)}. Choose a smaller file.`);
    }
    let text;
    try {
      text = new TextDecoder("utf-8", { fatal: true }).decode(await file.arrayBuffer());
    } catch {
      throw new Error("This file is not plain text in UTF-8. Save it as a text file and choose it again.");
    }
    if (text.includes("\0")) throw new Error("This file is not plain text. Choose a text file.");
    if (!text.trim()) throw new Error("This file is empty. Choose another.");
    return text;
  }

  // Load a chosen file into its field, where the user can change the text before sending it.
  for (const control of form.querySelectorAll("[data-load-into]")) {
    const field = document.getElementById(control.dataset.loadInto);
    const input = control.querySelector("input");
    const status = control.querySelector("[data-load-status]");
    input.addEventListener("change", async () => {
      const file = input.files[0];
      if (!file) return;
      try {
        field.value = await load(file, Number(control.dataset.maxBytes));
        field.dispatchEvent(new Event("input"));
        status.textContent = `${file.name}: ${number.format(characters(field.value))} characters loaded.`;
        status.classList.remove("over");
      } catch (error) {
        status.textContent = error.message;
        status.classList.add("over");
      }
      input.value = ""; // do not send the file too: the field has its text
    });
  }
})();
