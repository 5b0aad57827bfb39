// Comfort on a feature's form. Without this it works too: the server reads files and checks lengths.
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
  // Back from the next page, the form may come out of the browser's memory as it was left.
  window.addEventListener("pageshow", release);

  form.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit(button);
  });

  function characters(text) {
    return text.length - (text.match(/[\uD800-\uDBFF]/g) || []).length;
  }

  // Near and past the limit, say so; nothing is ever cut.
  for (const field of form.querySelectorAll("[data-max]")) {
    const most = Number(field.dataset.max);
    const told = document.createElement("p");
    told.className = "help count";
    told.setAttribute("role", "status");
    field.after(told);
    const count = () => {
      const length = characters(field.value);
      told.classList.toggle("over", length > most);
      if (length > most) {
        told.textContent = `${number.format(length - most)} characters too many`;
      } else if (length > most * 0.9) {
        told.textContent = `${number.format(most - length)} characters left`;
      } else {
        told.textContent = "";
      }
    };
    field.addEventListener("input", count);
    count();
  }

  async function load(file, most) {
    if (file.size > most) {
      throw new Error(`This file has ${number.format(file.size)} bytes; the most we can read is ${number.format(most)}.`);
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

  // A chosen file goes into its field, where it can be read and changed before it is sent.
  for (const control of form.querySelectorAll("[data-load-into]")) {
    const field = document.getElementById(control.dataset.loadInto);
    const input = control.querySelector("input");
    const told = control.querySelector("[data-load-status]");
    input.addEventListener("change", async () => {
      const file = input.files[0];
      if (!file) return;
      try {
        field.value = await load(file, Number(control.dataset.maxBytes));
        field.dispatchEvent(new Event("input"));
        told.textContent = `${file.name}: ${number.format(characters(field.value))} characters loaded.`;
        told.classList.remove("over");
      } catch (error) {
        told.textContent = error.message;
        told.classList.add("over");
      }
      input.value = ""; // the text is in the field now: sending both would say two things
    });
  }
})();
