// Long work runs in steps of one request each. Send the form of the next step.
document.querySelector("form[data-continue]")?.requestSubmit();
