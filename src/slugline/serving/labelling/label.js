// The label page: shows one text after the other, and sends what the coder decides.
"use strict";

const find = (selector, within = document) => within.querySelector(selector);
const findAll = (selector, within = document) => [...within.querySelectorAll(selector)];

// Return an element; properties that begin with "on" are listeners.
function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name in element && !name.includes("-")) element[name] = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

// Texts that are fetched before they are shown.
const N_AHEAD = 2;
// Characters of a topic's name that are shown.
const TOPIC_LENGTH = 100;
// Letters that are no keys of topics, as they do something else.
const COMMANDS = "unb";
const TOPIC_KEYS = [..."123456789", ..."abcdefghijklmnopqrstuvwxyz"]
  .filter((key) => !COMMANDS.includes(key));
const SKIP_KEYS = { unclear: ",", "none of these": ".", "not for me": "-" };

const state = {
  topics: [], // of the codebook
  merged: [],
  isMultilabel: false,
  maySettle: false,
  coder: "",
  current: null, // the text on the screen
  queue: [], // texts that come next
  chosen: new Set(), // topics of the current text, by name
  recent: [], // the latest decisions: {decision, excerpt, isSaved}
  progress: null,
  hasMore: false, // whether there are earlier decisions than these
  isAtEnd: false,
};

// Requests -----------------------------------------------------------------------------------------

class Refusal extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
    // Whether the same request may succeed later.
    this.isTransient = status === 0 || status === 408 || status === 429 || status >= 500;
  }
}

async function call(path, body) {
  let response, reply;
  try {
    response = await fetch(path, body === undefined ? {} : {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(body),
    });
    reply = await response.json();
  } catch {
    throw new Refusal(response && !response.ok ? response.status : 0,
      "The server does not answer. Is it still running?");
  }
  if (response.status === 401) location.assign("/login");
  if (!response.ok) throw new Refusal(response.status, sentence(reply.detail || reply.title || ""));
  return reply;
}

const sentence = (detail) => detail.charAt(0).toUpperCase() + detail.slice(1);

// A name for an intended change: if it is sent twice, the server makes it once.
function requestName() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

// Messages -----------------------------------------------------------------------------------------

function say(words) {
  find("#said").textContent = words;
}

// Show a problem until it is dismissed, or the returned function is called.
function showProblem(message, ...buttons) {
  const problem = make("div", { className: "problem" }, make("p", {}, message));
  const close = () => problem.remove();
  const dismiss = make("button", { type: "button", onclick: close }, "Dismiss");
  problem.append(make("p", { className: "row" }, ...buttons, buttons.length ? null : dismiss));
  find("#problems").append(problem);
  return close;
}

// Do something that the server may refuse, which is shown then.
async function attempt(work) {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    showProblem(error.message);
    return undefined;
  }
}

// Decisions that are on their way ------------------------------------------------------------------

// They stay in the browser's storage until the server has them, so that a closed window loses none.
const outbox = { entries: [], key: "", isSending: false, hideUnsaved: null, wake: null };

// Take over what other windows of this place left. If they are still open, both send it, and the
// server stores it once.
function openOutbox(place) {
  const prefix = `slugline-label ${place} `;
  outbox.key = prefix + requestName();
  try {
    const others = Object.keys(localStorage).filter((key) => key.startsWith(prefix));
    for (const key of others) outbox.entries.push(...JSON.parse(localStorage.getItem(key)));
    outbox.entries.sort((a, b) => a.at - b.at);
    keepOutbox();
    for (const key of others) localStorage.removeItem(key);
  } catch {
    // A browser may forbid storage.
  }
}

function keepOutbox() {
  try {
    if (outbox.entries.length) localStorage.setItem(outbox.key, JSON.stringify(outbox.entries));
    else localStorage.removeItem(outbox.key);
  } catch {
    // A browser may forbid storage; the window still has them.
  }
}

async function sendOutbox() {
  if (outbox.isSending) return;
  outbox.isSending = true;
  let seconds = 1;
  while (outbox.entries.length) {
    const entry = outbox.entries[0];
    try {
      const decision = await call("/v1/decide", entry.body);
      seconds = 1;
      outbox.hideUnsaved?.();
      outbox.hideUnsaved = null;
      outbox.entries.shift();
      keepOutbox();
      noteSaved(entry, decision);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      if (error.isTransient) {
        showUnsaved(error);
        await new Promise((resolve) => {
          outbox.wake = resolve;
          setTimeout(resolve, 1000 * seconds);
        });
        seconds = Math.min(2 * seconds, 15);
      } else {
        outbox.entries.shift();
        keepOutbox();
        noteRejected(entry, error);
      }
    }
  }
  outbox.isSending = false;
}

function showUnsaved(error) {
  outbox.hideUnsaved?.();
  const n = outbox.entries.length;
  const retry = make("button", { type: "button", onclick: () => outbox.wake?.() }, "Try now");
  outbox.hideUnsaved = showProblem(
    `${error.message} ${n} ${n === 1 ? "decision is" : "decisions are"} not saved yet; ` +
    "the page keeps trying.", retry,
  );
}

function noteSaved(entry, decision) {
  const shown = state.recent.find((each) => each.request === entry.body.request);
  if (shown) {
    shown.decision = decision;
    shown.isSaved = true;
  }
  showRecent();
  refreshProgress();
}

function noteRejected(entry, error) {
  state.recent = state.recent.filter((each) => each.request !== entry.body.request);
  showRecent();
  const open = make("button", { type: "button" }, "Show this text");
  const hide = showProblem(`“${entry.excerpt}” was not saved. ${error.message}`, open);
  open.addEventListener("click", () => {
    hide();
    goBack(entry.body.assignment);
  });
}

// Return once all decisions are saved or rejected.
async function whenSaved() {
  while (outbox.entries.length) {
    outbox.wake?.();
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

window.addEventListener("beforeunload", (event) => {
  if (outbox.entries.length) event.preventDefault();
});
window.addEventListener("online", () => outbox.wake?.());

// Texts --------------------------------------------------------------------------------------------

let filling = null;

// Fetch texts until enough are ahead.
function fillQueue() {
  filling ??= fetchAhead().finally(() => { filling = null; });
  return filling;
}

async function fetchAhead() {
  while (state.queue.length < N_AHEAD && !state.isAtEnd) {
    const held = [
      ...outbox.entries.map((entry) => entry.body.assignment),
      ...state.queue.map((text) => text.assignment),
      ...state.current ? [state.current.assignment] : [],
    ];
    const { text } = await call("/v1/next", { held });
    if (text === null) state.isAtEnd = true;
    else if (!isHeld(text.assignment)) state.queue.push(text);
    if (!state.current) showNext();
  }
}

function isHeld(assignment) {
  return state.current?.assignment === assignment
    || state.queue.some((text) => text.assignment === assignment);
}

let fetchDelay = 1;

async function keepFilled() {
  try {
    await fillQueue();
    fetchDelay = 1;
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    if (!state.current) show(null, error.message);
    setTimeout(keepFilled, 1000 * fetchDelay);
    fetchDelay = Math.min(2 * fetchDelay, 15);
  }
}

function showNext() {
  show(state.queue.shift() || null);
  keepFilled();
}

// Show a text, or a message in its place.
function show(text, message = "") {
  // What was typed while this text was awaited is for it.
  const keepsTyped = text && !text.decision && !state.current;
  state.current = text;
  state.chosen = new Set(text?.decision?.topics || []);
  const place = find("#text");
  const words = text ? text.text : message || (state.isAtEnd
    ? "No text is left for you: all of them are labelled, or others have them." : "…");
  place.textContent = words;
  place.classList.toggle("long", words.length > 600);
  place.classList.toggle("message", !text);
  place.scrollTop = 0;
  if (text) find("#card").dataset.assignment = text.assignment ?? `document ${text.document}`;
  else delete find("#card").dataset.assignment;
  showColumns(text?.columns || []);
  showGuess(text?.guess);
  showEarlier(text?.decision);
  if (text?.labels) showDisagreement(text);
  if (!keepsTyped) {
    find("#note").value = text?.decision?.note || "";
    find("#note-box").open = Boolean(find("#note").value);
    find("#search").value = "";
    find("#similar").hidden = true;
  }
  showTopics();
  if (text || message || state.isAtEnd) {
    const intro = text?.labels ? "A text on which coders disagree" : text?.decision ? "Earlier text" : text ? "Next text" : "";
    say(`${intro}${intro ? ": " : ""}${shorten(words, 400)}`);
  }
}

const shorten = (text, n) => {
  const words = text.slice(0, 4 * n).split(/\s+/).join(" ").trim();
  return words.length > n ? `${words.slice(0, n)} …` : words;
};

function showColumns(columns) {
  const cells = columns.map(([name, value]) => make(
    "div", {}, make("dt", {}, make("bdi", {}, name)), make("dd", { dir: "auto" }, value),
  ));
  find("#columns").replaceChildren(...cells);
  find("#columns").hidden = !cells.length;
  // What scrolls must be reached by keyboard.
  const scrolls = find("#columns").scrollHeight > find("#columns").clientHeight;
  find("#columns").toggleAttribute("tabindex", scrolls);
  if (scrolls) find("#columns").tabIndex = 0;
}

function showGuess(guess) {
  find("#guess").hidden = !guess;
  if (!guess) return;
  find("#guess").replaceChildren(
    "A model of the labels so far would say ", make("b", {}, make("bdi", {}, listed(guess.topics))),
    ` (${percent(guess.probability)}).`,
  );
}

function showEarlier(decision) {
  find("#eyebrow").textContent = decision ? "A text you decided about" : "Text";
  find("#eyebrow").classList.toggle("unseen", !decision && !state.current?.labels);
  find("#earlier")?.remove();
  if (!decision) return;
  const keep = make("button", { type: "button", onclick: showNext }, "Keep it");
  const takeBack = make("button", { type: "button", onclick: () => undo(decision.id) }, "Take it back");
  find("#eyebrow").after(make(
    "div", { id: "earlier", className: "notice" },
    make("p", {}, `${localTime(decision.at)}: `, make("b", {}, make("bdi", {}, named(decision))),
      ". Choose again to change it."),
    make("p", { className: "row" }, keep, takeBack),
  ));
}

const named = (decision) => (decision.kind === "skip" ? `skipped, ${decision.reason}`
  : listed(decision.topics) || "no topic");

const listed = (topics) => topics.map((topic) => shorten(topic, TOPIC_LENGTH)).join(", ");

function localTime(at) {
  const when = new Date(at);
  return Number.isNaN(when.getTime()) ? at
    : when.toLocaleString("sv-SE", { dateStyle: "short", timeStyle: "short" });
}

// Deciding -----------------------------------------------------------------------------------------

function decide(kind, reason = null) {
  const text = state.current;
  if (!text) return;
  const topics = kind === "label" ? [...state.chosen] : [];
  if (kind === "label" && !state.isMultilabel && topics.length !== 1) return;
  if (text.labels) {
    settle(text, kind, topics);
    return;
  }
  const body = {
    assignment: text.assignment, request: requestName(), kind, topics, reason,
    note: find("#note").value.trim() || null, supersedes: text.decision?.id ?? null,
  };
  const excerpt = shorten(text.text, 80);
  outbox.entries.push({ body, excerpt, at: Date.now() });
  keepOutbox();
  const decision = { ...body, id: null, at: new Date().toISOString() };
  state.recent = state.recent.filter((each) => each.decision.assignment !== text.assignment);
  state.recent.unshift({ decision, excerpt, request: body.request, isSaved: false });
  showNext();
  showRecent();
  sendOutbox();
}

function choose(name) {
  if (!state.current) return;
  if (!state.isMultilabel) {
    state.chosen = new Set([name]);
    decide("label");
    return;
  }
  if (!state.chosen.delete(name)) state.chosen.add(name);
  find("#search").value = "";
  showTopics();
  say(`${name} is ${state.chosen.has(name) ? "chosen" : "not chosen"}`);
}

// Show an earlier text; the present one comes after it.
async function goBack(assignment) {
  await whenSaved();
  const text = await attempt(() => call("/v1/text", { assignment }));
  if (text) interpose(text);
}

function interpose(text) {
  state.queue = state.queue.filter((each) => each.assignment !== text.assignment);
  const { current } = state;
  if (current && !current.decision && !current.labels && current.assignment !== text.assignment) {
    state.queue.unshift(current);
  }
  show(text);
  find("#card").focus();
}

async function undo(decision) {
  await whenSaved();
  const number = decision ?? state.recent.find((each) => each.isSaved)?.decision.id;
  if (!number) return;
  const text = await attempt(() => call("/v1/undo", { decision: number, request: requestName() }));
  if (!text) return;
  state.recent = state.recent.filter((each) => each.decision.assignment !== text.assignment);
  showRecent();
  refreshProgress();
  interpose(text);
}

// Disagreements ------------------------------------------------------------------------------------

async function showDisagreements() {
  await whenSaved();
  const reply = await attempt(() => call("/v1/disagreements"));
  if (!reply) return;
  const [first] = reply.disagreements;
  if (first) interpose({ ...first, guess: null, decision: null });
  else showNext();
}

function showDisagreement({ labels }) {
  find("#eyebrow").textContent = "Coders disagree on this text";
  const rows = labels.map(({ coder, decision }) => make(
    "li", {}, make("bdi", {}, coder), ": ", make("b", {}, make("bdi", {}, named(decision))),
    decision.note ? make("span", { className: "soft" }, ` (${decision.note})`) : "",
  ));
  find("#eyebrow").after(make(
    "div", { id: "earlier", className: "notice" },
    make("ul", {}, ...rows), make("p", {}, "What you choose now settles it."),
    make("p", { className: "row" },
      make("button", { type: "button", onclick: showNext }, "Leave it open")),
  ));
}

async function settle({ document: number }, kind, topics) {
  const note = find("#note").value.trim() || null;
  const request = requestName();
  const progress = await attempt(() => call("/v1/settle", {
    document: number, request, kind, topics, note,
  }));
  if (!progress) return;
  takeProgress(progress);
  state.current = null;
  if (progress.n_disagreements) showDisagreements();
  else showNext();
}

// Topics -------------------------------------------------------------------------------------------

function keyOf(index) {
  return TOPIC_KEYS[index];
}

function showTopics() {
  const wanted = find("#search").value.trim().toLowerCase();
  const list = find("#topics");
  // Buttons stay where they are, so that the focus does.
  while (list.children.length > state.topics.length) list.lastChild.remove();
  let n = 0;
  state.topics.forEach((topic, index) => {
    const row = list.children[index] || list.appendChild(make(
      "li", {}, make("button", { type: "button" }, make("kbd"), make("bdi"), make("span")),
    ));
    const button = row.firstChild;
    const [key, name, count] = button.children;
    button.dataset.topic = topic.name;
    button.title = topic.name.length > TOPIC_LENGTH ? topic.name : topic.description;
    key.textContent = keyOf(index) || "";
    key.hidden = !key.textContent || !usesKeys();
    name.textContent = shorten(topic.name, TOPIC_LENGTH);
    count.textContent = state.progress?.by_topic[topic.name] || "";
    const isChosen = state.chosen.has(topic.name);
    button.setAttribute("aria-pressed", String(isChosen));
    button.disabled = !state.current;
    row.hidden = Boolean(wanted) && !topic.name.toLowerCase().includes(wanted);
    row.classList.toggle("first", Boolean(wanted) && !row.hidden && n === 0);
    n += !row.hidden;
  });
  const isExact = state.topics.some((topic) => topic.name.toLowerCase() === wanted);
  find("#add")?.remove();
  if (wanted && !isExact) {
    const typed = find("#search").value.trim();
    const add = make("button", { type: "button", id: "add", onclick: () => addTopic(typed) },
      "Add “", make("bdi", {}, typed), "”");
    find("#finder").append(add);
    add.classList.toggle("main", n === 0);
  }
  find("#no-topics").hidden = state.topics.length > 0 || Boolean(wanted);
  find("#done-row").hidden = !state.isMultilabel;
  find("#done").disabled = !state.current;
  const n_chosen = state.chosen.size;
  find("#done-hint").textContent = n_chosen ? listed([...state.chosen]) : "no topic";
  for (const button of findAll("[data-skip]")) button.disabled = !state.current;
}

async function addTopic(name, isSure = false) {
  const text = state.current;
  const request = requestName();
  const reply = await attempt(() => call("/v1/topics", { name, request, is_sure: isSure }));
  if (!reply) return;
  if (reply.topic === null) {
    askAbout(name, reply.similar);
    return;
  }
  find("#similar").hidden = true;
  find("#search").value = "";
  if (!state.topics.some((topic) => topic.id === reply.topic.id)) state.topics.push(reply.topic);
  showCodebook();
  if (text && text === state.current) choose(reply.topic.name);
  else showTopics();
  find("#card").focus(); // so that single keys do something again
  say(`${shorten(reply.topic.name, TOPIC_LENGTH)} is a topic now`);
}

function askAbout(name, similar) {
  const box = find("#similar");
  const use = make("button", { type: "button", className: "main", onclick: () => {
    box.hidden = true;
    choose(similar);
    find("#card").focus();
  } }, "Use ", make("bdi", {}, shorten(similar, TOPIC_LENGTH)));
  const add = make("button", { type: "button", onclick: () => addTopic(name, true) },
    "Add ", make("bdi", {}, shorten(name, TOPIC_LENGTH)));
  box.replaceChildren(
    make("p", {}, "Did you mean ",
      make("b", {}, make("bdi", {}, shorten(similar, TOPIC_LENGTH))), "?"),
    make("p", { className: "row" }, use, add),
  );
  box.hidden = false;
  use.focus();
}

// What was decided, and how far it is --------------------------------------------------------------

// The number of decisions that are listed; more if somebody wants to see more.
let nListed = 8;

function showRecent() {
  const rows = state.recent.slice(0, nListed).map(({ decision, excerpt, isSaved }) => make(
    "li", {}, make(
      "button", { type: "button", onclick: () => goBack(decision.assignment) },
      make("b", {}, make("bdi", {}, named(decision))),
      make("span", { className: "excerpt", dir: "auto" }, excerpt || "(empty)"),
      make("span", { className: "soft" }, isSaved ? "" : "saving …"),
    ),
  ));
  const hadFocus = find("#recent").contains(document.activeElement);
  find("#recent").replaceChildren(...rows);
  if (hadFocus) find("#recent button")?.focus();
  find("#no-recent").hidden = rows.length > 0;
  find("#undo").disabled = !rows.length;
  find("#earlier-ones").hidden = !state.hasMore && state.recent.length <= nListed;
}

async function showMore() {
  await whenSaved();
  const before = state.recent.at(-1)?.decision.id;
  if (state.hasMore && before) {
    const reply = await attempt(() => call("/v1/recent", { before }));
    if (!reply) return;
    state.recent.push(...reply.decisions.map((each) => ({ ...each, isSaved: true })));
    state.hasMore = reply.has_more;
  }
  const first = nListed;
  nListed = state.recent.length;
  showRecent();
  findAll("#recent button")[first]?.focus();
}

let refreshing;

// Show the progress soon, and again once the server has had time to learn from the last label.
function refreshProgress(delays = [300, 3000]) {
  clearTimeout(refreshing);
  const [delay, ...later] = delays;
  refreshing = setTimeout(async () => {
    try {
      takeProgress(await call("/v1/progress"));
    } catch (error) {
      if (!(error instanceof Refusal)) throw error; // the next decision asks again
    }
    if (later.length) refreshProgress(later);
  }, delay);
}

function takeProgress(progress) {
  state.progress = progress;
  showStanding();
  const names = state.topics.map((topic) => topic.name);
  if (names.join("\n") !== Object.keys(progress.by_topic).join("\n")) {
    attempt(async () => takeCodebook(await call("/v1/codebook"))); // another coder has changed it
  } else {
    showTopics();
  }
}

const number = (n) => n.toLocaleString("en-US");
const counted = (n, noun) => `${number(n)} ${noun}${n === 1 ? "" : "s"}`;

function showStanding() {
  const { progress } = state;
  const n_done = progress.n_labelled + progress.n_skipped;
  const facts = [
    `${number(progress.n_labelled)} of ${counted(progress.n_texts, "text")} labelled`
      + (progress.n_mine !== progress.n_labelled ? `, ${number(progress.n_mine)} by you` : ""),
    progress.n_skipped ? `${number(progress.n_skipped)} skipped` : null,
    progress.n_disagreements ? `coders disagree on ${number(progress.n_disagreements)}` : null,
  ].filter(Boolean);
  const toSettle = progress.n_disagreements && state.maySettle ? make(
    "p", {}, make("button", { type: "button", onclick: showDisagreements },
      `Settle ${counted(progress.n_disagreements, "disagreement")}`),
  ) : "";
  find("#standing").replaceChildren(
    make("progress", { max: progress.n_texts || 1, value: n_done, "aria-label": "Texts decided" }),
    make("p", {}, facts.join("; "), "."),
    toSettle,
    ...accuracyLines(progress),
  );
}

const percent = (fraction) => `${Math.round(100 * fraction)} %`;

function forecastLine({ n_labels, gain, low, high, hardly_pays }) {
  if (hardly_pays) return "Further labels hardly pay.";
  const points = (fraction) => (100 * fraction).toFixed(1);
  return `With ${number(n_labels)} labels, expect ${points(gain)} points more ` +
    `(${points(low)} to ${points(high)}).`;
}

function topicTable(topics) {
  const wasOpen = find("#by-topic")?.open;
  const rows = topics.map(({ topic, accuracy, low, high }) => make(
    "tr", {}, make("th", { scope: "row" }, make("bdi", {}, topic)),
    make("td", {}, percent(accuracy)), make("td", { className: "soft" }, `${percent(low)} to ${percent(high)}`),
  ));
  const head = ["Topic", "Right", "Interval"].map((name) => make("th", { scope: "col" }, name));
  return make("details", { id: "by-topic", open: wasOpen }, make("summary", {}, "By topic"),
    make("table", {}, make("thead", {}, make("tr", {}, ...head)), make("tbody", {}, ...rows)));
}

// What a model of the labels so far would get right.
function accuracyLines({ accuracy, n_needed, topics, forecast, problem }) {
  if (problem) {
    return [make("p", { className: "bad" }, `No model of these labels could be learned: ${problem}`)];
  }
  if (!accuracy && !n_needed) {
    return [make("p", { className: "soft" }, "A model of these labels is being measured.")];
  }
  if (!accuracy) {
    const wanted = `About ${counted(n_needed, "more label")}, of two topics or more`;
    return [make("p", { className: "soft" },
      `${wanted}, and the page can say how often a model of them is right.`)];
  }
  return [
    make("p", {}, "A model of these labels is right for about ",
      make("b", {}, percent(accuracy.accuracy)), " of the other texts."),
    make("p", { className: "soft" }, `Between ${percent(accuracy.low)} and ` +
      `${percent(accuracy.high)}: 95 % sure, however often you look, by ` +
      `${counted(accuracy.n_labels, "label")} that count for it.`),
    forecast ? make("p", {}, forecastLine(forecast)) : "",
    topics.length ? topicTable(topics) : "",
  ];
}

// Codebook -----------------------------------------------------------------------------------------

function takeCodebook(codebook) {
  state.topics = codebook.topics;
  state.merged = codebook.merged;
  showTopics();
  showCodebook();
}

function showCodebook() {
  const box = find("#codebook-box");
  if (!box.open) return;
  const isTyping = box.contains(document.activeElement)
    && document.activeElement.matches("input, textarea");
  if (isTyping) return;
  const open = new Set(findAll("#codebook details[open]").map((each) => each.dataset.topic));
  const entries = state.topics.map((topic) => codebookEntry(topic, open.has(String(topic.id))));
  const merged = state.merged.map((topic) => make(
    "li", {}, make("bdi", {}, topic.name), " was merged into ", make("bdi", {}, topic.into), " ",
    make("button", { type: "button", onclick: () => changeTopic("separate", { topic: topic.id }) },
      "Separate again"),
  ));
  find("#codebook").replaceChildren(
    ...entries.length ? entries : [make("p", { className: "soft" }, "No topic yet.")],
    merged.length ? make("ul", { className: "merged" }, ...merged) : "",
  );
}

async function changeTopic(change, body) {
  const request = requestName();
  const codebook = await attempt(() => call(`/v1/topics/${change}`, { ...body, request }));
  if (!codebook) return;
  document.activeElement?.blur();
  takeCodebook(codebook);
  attempt(async () => takeRecent(await call("/v1/recent", {}))); // names may have changed
  refreshProgress();
  say("The codebook is saved");
}

function codebookEntry(topic, isOpen) {
  const id = `topic-${topic.id}`;
  const description = make("textarea", { id: `${id}-description`, rows: 3, maxLength: 100000 });
  description.value = topic.description;
  const examples = make("textarea", { id: `${id}-examples`, rows: 3 });
  examples.value = topic.examples.map((each) => shorten(each, 1000)).join("\n");
  const name = make("input", { id: `${id}-name`, value: topic.name, maxLength: 1000 });
  const others = state.topics.filter((other) => other.id !== topic.id);
  const into = make("select", { id: `${id}-into` },
    ...others.map((other) => make("option", { value: other.name }, other.name)));
  const takeText = make("button", { type: "button", onclick: () => {
    if (!state.current) return;
    examples.value = `${examples.value}\n${shorten(state.current.text, 1000)}`.trim();
  } }, "Take the text above");
  const save = (event) => {
    event.preventDefault();
    changeTopic("describe", {
      name: topic.name, description: description.value, examples: examples.value.split("\n"),
    });
  };
  const rename = (event) => {
    event.preventDefault();
    changeTopic("rename", { name: topic.name, new_name: name.value });
  };
  const merge = (event) => {
    event.preventDefault();
    changeTopic("merge", { name: topic.name, into: into.value });
  };
  return make(
    "details", { open: isOpen, "data-topic": topic.id },
    make("summary", {}, make("bdi", {}, shorten(topic.name, TOPIC_LENGTH)),
      make("span", { className: "soft" }, shorten(topic.description, 100))),
    make("form", { className: "fields", onsubmit: save },
      make("p", {}, make("label", { htmlFor: description.id }, "What it means"), description),
      make("p", {}, make("label", { htmlFor: examples.id }, "Examples, one per line"), examples),
      make("p", { className: "row" }, make("button", { className: "main" }, "Save"), takeText,
        make("span", { className: "soft" }, `changed ${localTime(topic.changed)}`))),
    make("form", { className: "row change", onsubmit: rename },
      make("label", { htmlFor: name.id }, "Name"), name, make("button", {}, "Rename")),
    others.length ? make("form", { className: "row change", onsubmit: merge },
      make("label", { htmlFor: into.id }, "Merge into"), into, make("button", {}, "Merge")) : "",
  );
}

find("#codebook-box").addEventListener("toggle", showCodebook);

// Clicks and keys ----------------------------------------------------------------------------------

find("#topics").addEventListener("click", (event) => {
  // The second click of a double click would be for the next text.
  if (event.detail > 1 && !state.isMultilabel) return;
  const button = event.target.closest("button");
  if (button) choose(button.dataset.topic);
});
find(".skips").addEventListener("click", (event) => {
  const reason = event.target.closest("button")?.dataset.skip;
  if (reason && event.detail <= 1) decide("skip", reason);
});
find("#done").addEventListener("click", (event) => {
  if (event.detail <= 1) decide("label");
});
find("#undo").addEventListener("click", (event) => {
  if (event.detail <= 1) undo();
});
find("#earlier-ones").addEventListener("click", showMore);
find("#search").addEventListener("input", showTopics);
find("#finder").addEventListener("submit", (event) => {
  event.preventDefault();
  const typed = find("#search").value.trim();
  const first = find("#topics .first button");
  if (!typed) return;
  if (first) {
    choose(first.dataset.topic);
    find("#card").focus();
  } else {
    addTopic(typed);
  }
});
find("#search").addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  find("#search").value = "";
  showTopics();
  find("#card").focus();
});

function usesKeys() {
  return find("#uses-keys").checked;
}

find("#uses-keys").addEventListener("change", () => {
  try {
    localStorage.setItem("slugline-keys", usesKeys() ? "yes" : "no");
  } catch {
    // A browser may forbid storage.
  }
  showTopics();
});

const KEYS = [
  ["1 to 9, then letters", "choose a topic"],
  ["/", "find or add a topic"],
  ["Enter", "done, where a text may have several topics"],
  [Object.values(SKIP_KEYS).join("  "), `skip: ${Object.keys(SKIP_KEYS).join("; ")}`],
  ["u or Ctrl+Z", "undo the last one"],
  ["n", "write a note"],
  ["b", "open the codebook"],
];

document.addEventListener("keydown", (event) => {
  const { key } = event;
  if (event.repeat || event.altKey || event.isComposing) return;
  const isTyping = event.target.matches("input:not([type='checkbox']), textarea, select");
  if (isTyping) return;
  if ((event.ctrlKey || event.metaKey) && key.toLowerCase() === "z") {
    event.preventDefault();
    undo();
    return;
  }
  if (event.ctrlKey || event.metaKey || !usesKeys()) return;
  if (act(key, event.target)) event.preventDefault();
});

// Do what a key is for; return whether it is for anything.
function act(key, target) {
  if (key === "Enter" && state.isMultilabel && !target.closest("button, summary, a")) {
    decide("label");
    return true;
  }
  if (key === "/") return focusOn("#search");
  if (key === "u") return Boolean(undo()) || true;
  if (key === "n") {
    find("#note-box").open = true;
    return focusOn("#note");
  }
  if (key === "b") {
    find("#codebook-box").open = !find("#codebook-box").open;
    return focusOn("#codebook-box summary");
  }
  const reason = Object.keys(SKIP_KEYS).find((each) => SKIP_KEYS[each] === key);
  if (reason) {
    decide("skip", reason);
    return true;
  }
  const topic = state.topics[TOPIC_KEYS.indexOf(key.toLowerCase())];
  if (topic) choose(topic.name);
  return Boolean(topic);
}

function focusOn(selector) {
  find(selector).focus();
  return true;
}

// Start --------------------------------------------------------------------------------------------

function takeRecent({ decisions, has_more }) {
  state.hasMore = has_more;
  const pending = state.recent.filter((each) => !each.isSaved);
  state.recent = [...pending, ...decisions.map((each) => ({ ...each, isSaved: true }))];
  showRecent();
}

async function start() {
  for (const button of findAll("[data-skip]")) {
    button.append(" ", make("kbd", {}, SKIP_KEYS[button.dataset.skip]));
  }
  find("#keys").append(...KEYS.map(([key, use]) => make(
    "div", {}, make("dt", {}, make("kbd", {}, key)), make("dd", {}, use),
  )));
  try {
    find("#uses-keys").checked = localStorage.getItem("slugline-keys") !== "no";
  } catch {
    // A browser may forbid storage.
  }
  let reply;
  try {
    reply = await call("/v1/state");
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    show(null, error.message);
    setTimeout(start, 3000);
    return;
  }
  state.isMultilabel = reply.is_multilabel;
  state.maySettle = reply.may_settle;
  find("#source").textContent = reply.source;
  find("#question").textContent = reply.is_multilabel ? "Which topics?" : "Which topic?";
  openOutbox(reply.place);
  takeCodebook(reply.codebook);
  takeProgress(reply.progress);
  sendOutbox();
  keepFilled();
  await whenSaved();
  attempt(async () => takeRecent(await call("/v1/recent", {})));
}

start();
