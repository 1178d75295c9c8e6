// What the page does beyond links and forms, which all work without it.
"use strict";

const root = document.documentElement;
const find = (selector, within = document) => within.querySelector(selector);
root.classList.add("with-script");

// Forms whose answer is a part of this page ------------------------------------------------------

const running = new Map(); // what is being asked, by the place that the answer goes to

async function send(form, submitter) {
  const place = form.dataset.into;
  running.get(place)?.abort();
  const asking = new AbortController();
  running.set(place, asking);
  const body = new URLSearchParams(new FormData(form, submitter));
  let html;
  try {
    const response = await fetch(form.action, {
      method: "POST", body, headers: { "X-Part": "1" }, signal: asking.signal,
    });
    if (response.redirected) return location.reload(); // a token is asked for again
    html = await response.text();
    if ((response.headers.get("content-type") || "").startsWith("application/")) {
      html = notice(JSON.parse(html).detail);
    }
  } catch (error) {
    if (error.name === "AbortError") return; // a later question has taken its place
    html = notice("The server does not answer. Is it still running?");
  }
  if (running.get(place) === asking) put(document.getElementById(place), html);
}

function notice(said) {
  const section = document.createElement("section");
  section.className = "verdict problem";
  section.setAttribute("role", "alert");
  section.textContent = said;
  return section.outerHTML;
}

// Put an answer into its place; what was open stays open, and the focus where it was.
function put(place, html) {
  if (!place) return;
  const open = [...place.querySelectorAll("details[open]")].map((each) => each.id);
  const scrolled = find("#all-topics ol", place)?.scrollTop;
  const focused = place.contains(document.activeElement) ? document.activeElement : null;
  const typed = focused?.matches("input") ? focused.value : null;
  place.innerHTML = html;
  for (const id of open) {
    if (id !== "wrong-form" || typed !== null) find(`#${id}`, place)?.setAttribute("open", "");
  }
  if (scrolled) find("#all-topics ol", place)?.scrollTo(0, scrolled);
  if (focused) refocus(place, focused, typed);
  const said = find("[data-said]", place)?.dataset.said;
  if (said !== undefined && find("#said").textContent !== said) find("#said").textContent = said;
  remember();
}

function refocus(place, before, typed) {
  const { id, name, value } = before;
  const same = id ? find(`#${id}`, place)
    : [...place.querySelectorAll("button")].find((b) => b.name === name && b.value === value);
  const next = same || find("summary, button", place);
  if (same && typed !== null) same.value = typed;
  next?.focus({ preventScroll: Boolean(same) });
}

document.addEventListener("submit", (event) => {
  const form = event.target;
  if (!form.dataset.into) return;
  event.preventDefault();
  clearTimeout(pause);
  const sample = event.submitter?.dataset.text;
  if (sample !== undefined) find("#text").value = sample;
  const who = form.elements.who;
  if (who) store("slugline-who", who.value);
  send(form, event.submitter);
});

// Answers while one types ------------------------------------------------------------------------

const text = find("#text");
let pause;
const ask = () => send(find("#ask"));
text?.addEventListener("input", () => {
  clearTimeout(pause);
  pause = setTimeout(ask, 250);
});
text?.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
  event.preventDefault();
  clearTimeout(pause);
  ask();
});
if (text?.value.trim() && !find(".why")) ask(); // the browser has kept it while the page was away

// Corrections ------------------------------------------------------------------------------------

function store(name, value) {
  try { localStorage.setItem(name, value); } catch { /* a browser that keeps nothing */ }
}

function remember() {
  const who = find("#who");
  try { if (who && !who.value) who.value = localStorage.getItem("slugline-who") || ""; } catch { /* likewise */ }
}
remember();

document.addEventListener("input", (event) => {
  if (event.target.id !== "right") return;
  const typed = event.target.value.trim();
  const known = [...find("#topics").options].some((option) => option.value === typed);
  find("#right-hint").textContent = !typed ? "Type to find it; a new one is allowed."
    : known ? "The model knows this topic." : "A new topic, which the model doesn’t know yet.";
});

// Choices that show another page at once ---------------------------------------------------------

document.addEventListener("change", (event) => {
  if (event.target.matches("[data-submits]")) event.target.form.requestSubmit();
});
