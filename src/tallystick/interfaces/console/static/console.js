// What the pages do beyond forms and links. Each page works without it.
"use strict";

// The overview is renewed while nobody is in it with the keyboard and nobody selects text of it.
function renew(place) {
  const source = new EventSource(place.dataset.live);
  source.addEventListener("blocks", (event) => {
    const selected = window.getSelection();
    const busy = place.contains(document.activeElement) || (selected && !selected.isCollapsed && place.contains(selected.anchorNode));
    if (busy || document.hidden || place.querySelector("details[open]")) return;
    place.innerHTML = event.data;
  });
  window.addEventListener("pagehide", () => source.close());
}

// Acts on ticked rows need one.
function ticks(form) {
  const boxes = [...form.querySelectorAll("input[name=tick]")];
  const all = form.querySelector("input[data-all]");
  const buttons = form.querySelectorAll("button[data-needs-ticks]");
  const show = () => {
    const ticked = boxes.filter((box) => box.checked).length;
    buttons.forEach((button) => { button.disabled = ticked === 0; });
    if (all) all.checked = ticked === boxes.length;
  };
  if (all) all.addEventListener("change", () => { boxes.forEach((box) => { box.checked = all.checked; }); show(); });
  boxes.forEach((box) => box.addEventListener("change", show));
  show();
}

// A form that acts is sent once; sent twice it would be done once all the same.
function once(form) {
  form.addEventListener("submit", () => {
    window.setTimeout(() => form.querySelectorAll("button").forEach((button) => { button.disabled = true; }), 0);
  });
}

// On paper everything is open.
function print() {
  let opened = [];
  window.addEventListener("beforeprint", () => {
    opened = [...document.querySelectorAll("details:not([open])")];
    opened.forEach((one) => { one.open = true; });
  });
  window.addEventListener("afterprint", () => opened.forEach((one) => { one.open = false; }));
}

document.addEventListener("keydown", (event) => {
  const typing = event.target.closest("input, textarea, select");
  if (event.key !== "/" || typing || event.ctrlKey || event.metaKey || event.altKey) return;
  const field = document.getElementById("find");
  if (field) { event.preventDefault(); field.focus(); field.select(); }
});

document.querySelectorAll("[data-live]").forEach(renew);
document.querySelectorAll("form").forEach((form) => { if (form.querySelector("input[name=tick]")) ticks(form); });
document.querySelectorAll("form[data-once]").forEach(once);
print();
