// Enhances links and forms, all of which also work without this script.
"use strict";

const root = document.documentElement;
const find = (selector, within = document) => within.querySelector(selector);
root.classList.add("with-script");

// Forms with an answer in part of this page -------------------------------------------------------

const running = new Map(); // requests in progress, by the id of the target element

async function send(form, submitter) {
  const place = form.dataset.into;
  running.get(place)?.abort();
  const controller = new AbortController();
  running.set(place, controller);
  const body = new URLSearchParams(new FormData(form, submitter));
  let html;
  try {
    const response = await fetch(form.action, {
      method: "POST", body, headers: { "X-Part": "1" }, signal: controller.signal,
    });
    if (response.status === 401) return location.reload(); // to show the login form
    html = await response.text();
    if ((response.headers.get("content-type") || "").startsWith("application/")) {
      html = notice(JSON.parse(html).detail);
    }
  } catch (error) {
    if (error.name === "AbortError") return; // replaced by a later request
    html = notice("The server is not responding. Is it still running?");
  }
  if (running.get(place) === controller) put(document.getElementById(place), html);
}

// Show times in the local time zone, formatted like the server's UTC times.
function showLocalTimes(within = document) {
  for (const time of within.querySelectorAll("time[datetime*='T']")) {
    time.textContent = new Date(time.dateTime).toLocaleString("sv-SE", { dateStyle: "short", timeStyle: "short" });
    time.title = time.dateTime;
  }
}
showLocalTimes();

function notice(message) {
  const section = document.createElement("section");
  section.className = "verdict problem";
  section.setAttribute("role", "alert");
  section.textContent = message;
  return section.outerHTML;
}

// Insert an answer, keeping open details and the focus.
function put(place, html) {
  if (!place) return;
  const open = [...place.querySelectorAll("details[open]")].map((each) => each.id);
  const scrolled = find("#all-topics ol", place)?.scrollTop;
  const focused = place.contains(document.activeElement) ? document.activeElement : null;
  const typed = [...place.querySelectorAll("input[id]")].map(({ id, value }) => [id, value]);
  const isTyping = Boolean(find("#right", place)?.value || focused?.matches("input"));
  place.innerHTML = html;
  showLocalTimes(place);
  for (const id of open) {
    if (id !== "wrong-form" || isTyping) find(`#${id}`, place)?.setAttribute("open", "");
  }
  for (const [id, value] of typed) {
    const same = find(`#${id}`, place);
    if (same) same.value = value;
  }
  if (scrolled) find("#all-topics ol", place)?.scrollTo(0, scrolled);
  if (focused) refocus(place, focused);
  const said = find("[data-said]", place)?.dataset.said;
  if (said !== undefined && find("#said").textContent !== said) find("#said").textContent = said;
  remember();
}

function refocus(place, before) {
  const { id, name, value } = before;
  const same = id ? find(`#${id}`, place)
    : [...place.querySelectorAll("button")].find((b) => b.name === name && b.value === value);
  const next = same || find("summary, button", place);
  next?.focus({ preventScroll: Boolean(same) });
}

document.addEventListener("submit", (event) => {
  const form = event.target;
  if (!form.dataset.into) return;
  event.preventDefault();
  if (form.matches(".sets")) addTopic();
  clearTimeout(pause);
  const sample = event.submitter?.dataset.text;
  if (sample !== undefined) find("#text").value = sample;
  const who = form.elements.who;
  if (who) store("slugline-who", who.value);
  send(form, event.submitter);
});

// Answers while typing ---------------------------------------------------------------------------

const text = find("#text");
let pause;
const ask = () => send(find("#ask"));
const askSoon = () => {
  clearTimeout(pause);
  pause = setTimeout(ask, 250);
};
text?.addEventListener("input", askSoon);
find(".cells")?.addEventListener("input", askSoon);
text?.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
  event.preventDefault();
  clearTimeout(pause);
  ask();
});
if (text?.value.trim() && !find(".why")) ask(); // restored by the browser

// Corrections ------------------------------------------------------------------------------------

function store(name, value) {
  try { localStorage.setItem(name, value); } catch { /* storage is disabled */ }
}

function remember() {
  const who = find("#who");
  if (!who || who.value) return;
  try { who.value = localStorage.getItem("slugline-who") || ""; } catch { /* storage is disabled */ }
}
remember();

document.addEventListener("input", (event) => {
  if (event.target.id !== "right") return;
  const typed = event.target.value.trim();
  const known = [...find("#topics").options].some((option) => option.value === typed);
  find("#right-hint").textContent = !typed ? "Type to search, or enter a new topic."
    : known ? "The model knows this topic." : "A new topic, unknown to the model.";
});

// Tick the typed topic, for a multi-label model.
function addTopic() {
  const input = find("#right");
  const topic = input.value.trim().replace(/\s+/g, " ");
  input.value = find("#right-hint").textContent = "";
  if (!topic) return;
  let box = [...document.querySelectorAll("[type=checkbox][name=topics]")].find((each) => each.value === topic);
  if (!box) {
    const item = element("li");
    const label = element("label", undefined, "chip");
    box = Object.assign(element("input"), { type: "checkbox", name: "topics", value: topic });
    label.append(box, element("bdi", topic));
    item.append(label);
    find("#right-topics").append(item);
  }
  box.checked = true;
  find("#said").textContent = `${topic} added`;
}

document.addEventListener("click", (event) => {
  if (event.target.id !== "add") return;
  addTopic();
  find("#right").focus();
});
document.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || !event.target.matches(".sets #right") || !event.target.value.trim()) return;
  event.preventDefault();
  addTopic();
});

// Selects that show another page immediately -------------------------------------------------------

document.addEventListener("change", (event) => {
  if (!event.target.matches("[data-submits]")) return;
  if (!text?.value.trim()) return event.target.form.requestSubmit();
  const query = new URLSearchParams({ model: event.target.value }); // keep the text
  find("#ask").action = `/?${query}`;
  find("#ask").submit();
});

// Tables -----------------------------------------------------------------------------------------

const AT = 0, TOPIC = 1, P = 2, REASON = 3, TEXT = 4, ERROR = 5, WHOLE = 6; // fields of a row
const ON_A_PAGE = 50;
const EVERY = 250; // minimum milliseconds between updates
const HAS_CHARACTERS = /\.(csv|tsv|txt)(\.gz)?$/i;
const MANY_BAD = 0.1; // minimum fraction of bad rows that suggests a misread file
const ORDERS = ["none", "ascending", "descending"];
const job = { file: null, note: "", rows: [], view: [], first: 0, order: 0, controller: null, next: 0 };
const number = (n) => n.toLocaleString("en");
const percent = (p) => (p > 0 && p < 0.005 ? "<\u00a01" : p >= 0.995 && p < 1 ? ">\u00a099" : Math.round(100 * p)) + "\u00a0%";
const element = (name, text, className) => {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
};

// The topics of a row; empty if it could not be read.
const topicsOf = (row) => (row[TOPIC] === null ? [] : [row[TOPIC]].flat().map(String));

function tableAddress(path, columns = []) {
  const query = new URLSearchParams(find("#table").dataset.query);
  query.set("name", job.file.name);
  for (const column of columns) query.append("text", column);
  for (const option of ["encoding", "separator"]) {
    if (find(`#${option}`).value) query.set(option, find(`#${option}`).value);
  }
  return `${path}?${query}`;
}

function showProblem(message) {
  const place = find("#table-problem");
  place.textContent = message;
  place.hidden = !message;
}

// Upload the file; on failure, throw an error with a message for the user.
async function post(path, columns, signal) {
  let response;
  try {
    response = await fetch(tableAddress(path, columns), { method: "POST", body: job.file, signal });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error("The server is not responding, or the file has changed or been deleted.");
  }
  if (response.ok) return response;
  const problem = await response.json().catch(() => ({}));
  const message = problem.detail || `The server returned status ${response.status}.`;
  const startsWithName = message.startsWith(job.file.name);
  throw new Error(startsWithName ? message : message[0].toUpperCase() + message.slice(1));
}

async function* linesOf(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const parts = (rest + value).split("\n");
    rest = parts.pop();
    for (const part of parts) yield JSON.parse(part);
  }
}

async function startJob(file, columns) {
  job.controller?.abort();
  const most = Number(find("#table").dataset.most);
  const controller = job.controller = new AbortController();
  if (file !== job.file) {
    for (const id of ["#encoding", "#separator"]) find(id).value = "";
    find("#reading").open = false;
  }
  find("#reading").hidden = !HAS_CHARACTERS.test(file.name);
  find("#reading-found").textContent = "";
  find("#preview").tHead.replaceChildren();
  find("#preview").tBodies[0].replaceChildren();
  Object.assign(job, { file, note: "", rows: [], view: [], first: 0, order: 0 });
  showProblem("");
  find("#job").hidden = false;
  find("#hints").hidden = true;
  find("#results").hidden = true;
  find("#download").disabled = true;
  find("#topic-filter").replaceChildren();
  find("#sure-filter").value = "";
  find("#job-name").textContent = file.name;
  find("#counts").textContent = "Sending …";
  showRunning(true);
  find("#progress").removeAttribute("value");
  if (!columns) find("#column").closest("p").hidden = true;
  if (file.size > most) {
    showRunning(false);
    find("#counts").textContent = "";
    return showProblem(`The file has ${number(file.size)} bytes; the maximum is ${number(most)}. `
      + "Split it, or use slugline predict.");
  }
  try {
    await follow(await post("/table/answers", columns, controller.signal), controller);
  } catch (error) {
    if (job.controller !== controller) return; // replaced by another file
    if (error.name !== "AbortError") {
      showProblem(error.message);
      find("#reading").open = true; // another choice may help
    }
    announce(error.name === "AbortError" ? `Cancelled after ${countWords()}.` : job.rows.length ? countWords() : "");
  }
  if (job.controller !== controller) return;
  showRunning(false);
  showResults();
}

async function follow(response, controller) {
  let isWhole = false;
  for await (const line of linesOf(response)) {
    if (job.controller !== controller) return;
    if (line.columns) {
      showColumns(line);
      isWhole = line.text === null;
    } else if (line.rows) {
      job.rows.push(...line.rows);
      if (line.read !== null) find("#progress").value = line.read;
      const now = performance.now();
      if (now > job.next) {
        find("#counts").textContent = countWords();
        showResults();
        job.next = performance.now() + Math.max(EVERY, 10 * (performance.now() - now));
      }
    } else if (line.error) {
      throw new Error(line.error);
    } else {
      isWhole = true;
      if (!job.rows.length) throw new Error(`${job.file.name} contains no documents${job.note}; check the file.`);
      find("#download").disabled = false;
      announce(countWords() + job.note);
      warnOfBadRows();
    }
  }
  if (!isWhole) throw new Error("The server stopped in the middle of the file.");
}

function showRunning(isRunning) {
  job.isRunning = isRunning;
  find("#progress").hidden = find("#cancel").hidden = !isRunning;
}

function showColumns({ columns, text, encoding, separator, sheet, unit, head }) {
  find("#at-head").textContent = unit[0].toUpperCase() + unit.slice(1);
  const select = find("#column");
  select.replaceChildren(...columns.map((name) => element("option", name)));
  select.size = Math.min(columns.length, 4);
  for (const option of select.options) option.selected = text?.includes(option.value);
  select.closest("p").hidden = !columns.length;
  if (text === null) {
    announce("Which columns contain the text? The names don’t tell.");
    select.focus();
  }
  if (encoding) job.note = `; characters read as ${encoding}`;
  if (sheet) job.note = `; ${sheet}`;
  showReading(columns.length ? columns : ["text"], encoding, separator, head);
}

// Show how the file is read: encoding, separator and first rows.
function showReading(columns, encoding, separator, head) {
  const cells = separator === null ? "" : separator === "one column" ? ", one column" : `, cells separated by ${separator}`;
  find("#reading-found").textContent = `${encoding || "UTF-8"}${cells}`;
  const width = head[0]?.length ?? columns.length;
  const names = columns.slice(0, width).map((name) => element("th", name));
  for (const name of names) name.scope = "col";
  const header = element("tr");
  header.append(...names, ...(columns.length > width ? [element("th", "…")] : []));
  find("#preview").tHead.replaceChildren(header);
  find("#preview").tBodies[0].replaceChildren(...head.map((row) => {
    const made = element("tr");
    for (const cell of row) {
      const place = element("td");
      place.append(element("bdi", cell));
      made.append(place);
    }
    return made;
  }));
}

// Report the rows that were not read, and show how the file is read if there are many.
function warnOfBadRows() {
  const bad = job.rows.filter((row) => row[ERROR] !== null);
  if (!bad.length) return;
  const rows = job.rows.length === 1 ? "row" : "rows";
  const was = bad.length === 1 ? "was" : "were";
  showProblem(`${number(bad.length)} of ${number(job.rows.length)} ${rows} ${was} not answered. First problem: `
    + `${bad[0][ERROR]}. Their cells stay in the table.`);
  if (bad.length > MANY_BAD * job.rows.length) find("#reading").open = true;
}

function chosenColumns() {
  return [...find("#column").selectedOptions].map((option) => option.value);
}

// Show a message and announce it to screen readers; frequently changing counts are only shown.
function announce(message) {
  find("#counts").textContent = find("#said").textContent = message;
}

function countWords() {
  const n = job.rows.length;
  const unsure = job.rows.reduce((sum, row) => sum + (row[REASON] !== null), 0);
  const bad = job.rows.reduce((sum, row) => sum + (row[ERROR] !== null), 0);
  return `${number(n)} ${n === 1 ? "row" : "rows"}` + (unsure ? `, ${number(unsure)} unsure` : "")
    + (bad ? `, ${number(bad)} not read` : "");
}

// Filter and sort the rows, and show one page.
function showResults() {
  if (!job.rows.length) return;
  find("#results").hidden = false;
  showTopics();
  const topic = find("#topic-filter").value;
  const sure = find("#sure-filter").value;
  job.view = job.rows.filter((row) => (!topic || topicsOf(row).includes(topic))
    && (!sure || sure === (row[ERROR] !== null ? "error" : row[REASON] !== null ? "unsure" : "sure")));
  if (job.order) {
    const sign = job.order === 1 ? 1 : -1;
    job.view.sort((a, b) => sign * ((a[P] ?? -1) - (b[P] ?? -1)));
  }
  find("#p-head").setAttribute("aria-sort", ORDERS[job.order]);
  showRows();
}

function showTopics() {
  const select = find("#topic-filter");
  if (job.isRunning && select === document.activeElement) return; // may be open
  const chosen = select.value;
  const counts = new Map();
  for (const topic of job.rows.flatMap(topicsOf)) counts.set(topic, (counts.get(topic) || 0) + 1);
  const options = [...counts].sort((a, b) => b[1] - a[1]).map(([topic, n]) => {
    const option = element("option", `${topic} (${number(n)})`);
    option.value = topic;
    return option;
  });
  const all = element("option", "all topics");
  all.value = "";
  select.replaceChildren(all, ...options);
  select.value = chosen;
  if (select.selectedIndex < 0) select.value = "";
}

function showRows() {
  const { view, first } = job;
  const end = Math.min(first + ON_A_PAGE, view.length);
  find("#rows").replaceChildren(...view.slice(first, end).map(rowOf));
  find("#showing").textContent = view.length
    ? `Rows ${number(first + 1)} to ${number(end)} of ${number(view.length)}` : "No matching rows";
  find("#previous").disabled = first === 0;
  find("#next").disabled = end >= view.length;
}

function rowOf(row) {
  const made = element("tr");
  const topic = element("td", undefined, "name");
  if (row[ERROR] !== null) {
    topic.append(element("span", "Not read", "bad"));
  } else if (row[REASON] !== null) {
    topic.append(element("span", "Unsure", "bad"), " perhaps ", element("bdi", row[TOPIC]));
    topic.classList.add("soft");
    topic.title = row[REASON];
  } else {
    topic.append(...topicsOf(row).flatMap((name) => [", ", element("bdi", name)]).slice(1));
    if (!topic.hasChildNodes()) topic.append(element("span", "No topic", "soft"));
  }
  const p = element("td", row[P] === null ? "–" : percent(row[P]), "p");
  const text = element("td", undefined, row[ERROR] === null ? "text" : "soft");
  text.append(element("bdi", row[ERROR] ?? row[TEXT]));
  if (row[ERROR] !== null && row[TEXT]) text.append(": ", element("bdi", row[TEXT]));
  if (row[ERROR] === null && row[WHOLE]?.trim()) text.append(" ", makeOpener(row[WHOLE]));
  made.append(element("td", row[AT], "at soft"), topic, p, text);
  return made;
}

// Return a button that opens a text in the first tab, to explain and correct its answer.
function makeOpener(whole) {
  const form = element("form");
  Object.assign(form, { method: "post", action: `/${find("#table").dataset.query}`, target: "_blank" });
  const hidden = element("input");
  Object.assign(hidden, { type: "hidden", name: "text", value: whole });
  const button = element("button", "Explain or correct");
  form.append(hidden, button);
  return form;
}

async function download() {
  const button = find("#download");
  button.disabled = true;
  showProblem("");
  announce("Writing the table …");
  try {
    const answer = await post("/table/file", chosenColumns());
    const link = element("a");
    link.href = URL.createObjectURL(await answer.blob());
    link.download = decodeURIComponent(answer.headers.get("Content-Disposition").split("''")[1]);
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  } catch (error) {
    showProblem(error.message);
  }
  announce(countWords() + job.note);
  button.disabled = false;
  if (document.activeElement === document.body) button.focus();
}

if (find("#table")) {
  const drop = find("#drop");
  find("#file").addEventListener("change", (event) => {
    if (event.target.files.length) startJob(event.target.files[0]);
    event.target.value = ""; // allows choosing the same file again
  });
  for (const kind of ["dragover", "dragleave", "drop"]) {
    document.addEventListener(kind, (event) => {
      event.preventDefault(); // otherwise the browser opens the file
      drop.classList.toggle("over", kind === "dragover");
      if (kind === "drop" && event.dataTransfer.files.length) startJob(event.dataTransfer.files[0]);
    });
  }
  find("#cancel").addEventListener("click", () => { job.controller.abort(); drop.control.focus(); });
  find("#column").addEventListener("change", () => startJob(job.file, chosenColumns()));
  for (const id of ["#encoding", "#separator"]) {
    find(id).addEventListener("change", () => startJob(job.file));
  }
  const again = () => { job.first = 0; showResults(); };
  find("#topic-filter").addEventListener("change", again);
  find("#sure-filter").addEventListener("change", again);
  find("#sort").addEventListener("click", () => { job.order = (job.order + 1) % 3; again(); });
  for (const [id, step, other] of [["#previous", -ON_A_PAGE, "#next"], ["#next", ON_A_PAGE, "#previous"]]) {
    find(id).addEventListener("click", (event) => {
      job.first += step;
      showRows();
      if (event.target.disabled) find(other).focus();
    });
  }
  find("#download").addEventListener("click", download);
}
