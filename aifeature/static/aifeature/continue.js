// A long piece of work is done in steps, one request each: send the next step's form.
document.querySelector("form[data-continue]")?.requestSubmit();
