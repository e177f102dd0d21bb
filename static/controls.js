// The forms of a card: a question before each act, and its outcome in place, also when it was refused or never answered.
"use strict";

(function () {
  const UNKNOWN = "The desk did not answer, so whether this was done is not known. Look at the trading state.";

  function formOf(event) {
    const element = event.detail.elt;
    return element instanceof HTMLFormElement && element.hasAttribute("data-control") ? element : null;
  }

  function buttonOf(event, form) {
    return event.detail.triggeringEvent?.submitter ?? form.querySelector("button");
  }

  function ask(event) {
    const form = formOf(event);
    if (!form) return;
    event.preventDefault();
    const scope = form.elements.symbol.selectedOptions[0].text;
    const question = buttonOf(event, form).dataset.ask.replaceAll("{scope}", scope);
    if (window.confirm(question)) event.detail.issueRequest(true);
  }

  // The question may have taken the focus, and with it what htmx knows of the button.
  function nameButton(event) {
    const form = formOf(event);
    const button = form && buttonOf(event, form);
    if (button?.name) event.detail.parameters[button.name] = button.value;
  }

  function refusalOf(xhr) {
    if (xhr.status === 0) return UNKNOWN;
    try {
      const problem = JSON.parse(xhr.responseText);
      const faults = (problem.errors ?? []).map((fault) => (fault.field === "reason" ? "Reason: " : "") + fault.message);
      return faults.join("; ") || problem.detail;
    } catch {
      return `The desk answered ${xhr.status}.`;
    }
  }

  function tell(event) {
    const form = formOf(event);
    if (!form) return;
    if (event.detail.successful) {
      form.reset();
      return;
    }
    const xhr = event.detail.xhr;
    const told = document.createElement("span");
    told.className = "bad";
    told.textContent = refusalOf(xhr);
    const place = form.querySelector("[role=status]");
    place.replaceChildren(told);
    if (xhr.status !== 401) return;
    const link = document.createElement("a");
    link.href = `/login?next=${encodeURIComponent(window.location.pathname)}`;
    link.textContent = "Log in";
    place.append(" ", link);
  }

  document.body.addEventListener("htmx:confirm", ask);
  document.body.addEventListener("htmx:configRequest", nameButton);
  document.body.addEventListener("htmx:afterRequest", tell);
})();
