// Fetches and shows texts, one after the other, and earlier ones again.

// Texts that are fetched before they are shown.
const N_AHEAD = 2;

// Seconds until the server is asked again whether a text is left: others may leave one, or take a
// decision back.
const END_DELAY = 30;

let filling = null;

// Fetch texts until enough are ahead.
function fillQueue() {
  filling ??= fetchAhead().finally(() => { filling = null; });
  return filling;
}

async function fetchAhead() {
  while (state.queue.length < N_AHEAD) {
    const held = [
      ...outbox.entries.map((entry) => entry.body.assignment),
      // A disagreement has no assignment.
      ...[state.current, ...state.queue].flatMap((text) => text?.assignment ?? []),
    ];
    const { text } = await call("/v1/next", { held });
    const wasAtEnd = state.isAtEnd;
    state.isAtEnd = text === null;
    if (text && !isHeld(text.assignment)) state.queue.push(text);
    if (!state.current && !(wasAtEnd && state.isAtEnd)) showNext();
    if (state.isAtEnd) return;
  }
}

function isHeld(assignment) {
  return state.current?.assignment === assignment
    || state.queue.some((text) => text.assignment === assignment);
}

let fetchDelay = 1;
let fetchTimer;

async function keepFilled() {
  clearTimeout(fetchTimer);
  try {
    await fillQueue();
    fetchDelay = 1;
    if (state.isAtEnd) fillLater(END_DELAY);
  } catch (error) {
    if (!(error instanceof RequestError)) throw error;
    if (!state.current) show(null, error.message);
    fillLater(fetchDelay);
    fetchDelay = Math.min(2 * fetchDelay, 15);
  }
}

function fillLater(seconds) {
  clearTimeout(fetchTimer);
  fetchTimer = setTimeout(keepFilled, 1000 * seconds);
}

function showNext() {
  show(state.queue.shift() || null);
  keepFilled();
}

// Show a text, or a message in its place.
function show(text, message = "") {
  // What was typed while this text was awaited is for it.
  const keepsTyped = text && !text.decision && !text.draft && !state.current;
  const { note, topics } = text?.draft ?? text?.decision
    ?? { note: "", topics: text?.review?.topics ?? [] };
  state.current = text;
  state.chosen = new Set(topics);
  const place = find("#text");
  const words = text ? text.text : message || (state.isAtEnd ? END[state.content] : "…");
  place.textContent = words;
  place.classList.toggle("long", words.length > 600);
  place.classList.toggle("message", !text);
  place.scrollTop = 0;
  if (text) find("#card").dataset.assignment = text.assignment ?? `document ${text.document}`;
  else delete find("#card").dataset.assignment;
  showColumns(text?.columns || []);
  showGuess(text?.guess);
  showReview(text);
  showEarlier(text?.decision);
  if (text?.labels) showDisagreement(text);
  if (!keepsTyped) {
    find("#note").value = note || "";
    find("#note-box").open = Boolean(find("#note").value);
    find("#search").value = "";
    find("#similar").hidden = true;
  }
  showTopics();
  if (text || message || state.isAtEnd) {
    const intro = text?.labels ? "A text on which coders disagree" : text?.decision ? "Earlier text" : text ? "Next text" : "";
    const evidence = find("#review p")?.textContent;
    say(`${intro}${intro ? ": " : ""}${shorten(words, 400)}${evidence ? ` ${evidence}` : ""}`);
  }
}

// What is said if no text is left, by what the page shows.
const END = {
  texts: "No texts left for you: all are labelled or assigned to other coders.",
  suggestions: "All suggested texts are labelled, or others have them.",
  suspects: "All suspects are decided, or others have them.",
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
    state.content === "texts" ? "A model of the labels so far would say " : "The model would say ",
    make("b", {}, make("bdi", {}, listed(guess.topics) || "no topic")),
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
    make("p", {}, ...decision.kind === "skip" ? [`You skipped it (${decision.reason})`]
      : ["You chose ", make("b", {}, make("bdi", {}, named(decision)))],
    ` at ${localTime(decision.at)}. Choose again to change it.`),
    make("p", { className: "row" }, keep, takeBack),
  ));
}
