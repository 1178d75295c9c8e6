// Fetch and show texts.

// Number of texts fetched ahead.
const N_AHEAD = 2;

// Seconds between requests once no text is left: another coder may skip a text or undo a decision.
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

// Show a text, or a message instead.
function show(text, message = "") {
  // Keep text typed while waiting for this one.
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
    const intro = text?.labels ? "A text that coders disagree about" : text?.decision ? "Earlier text" : text ? "Next text" : "";
    const evidence = find("#review p")?.textContent;
    say(`${intro}${intro ? ": " : ""}${shorten(words, 400)}${evidence ? ` ${evidence}` : ""}`);
  }
}

// Messages shown when no text is left.
const END = {
  texts: "No texts left for you: all are labelled or assigned to other coders.",
  suggestions: "No suggested texts left for you: all are labelled or assigned to other coders.",
  suspects: "No suspects left for you: all are decided or assigned to other coders.",
};

function showColumns(columns) {
  const cells = columns.map(([name, value]) => make(
    "div", {}, make("dt", {}, make("bdi", {}, name)), make("dd", { dir: "auto" }, value),
  ));
  find("#columns").replaceChildren(...cells);
  find("#columns").hidden = !cells.length;
  // Scrollable content must be reachable by keyboard.
  const scrolls = find("#columns").scrollHeight > find("#columns").clientHeight;
  find("#columns").toggleAttribute("tabindex", scrolls);
  if (scrolls) find("#columns").tabIndex = 0;
}

function showGuess(guess) {
  find("#guess").hidden = !guess;
  if (!guess) return;
  find("#guess").replaceChildren(
    state.content === "texts" ? "A model trained on the labels so far suggests " : "The model suggests ",
    bold(topicNames(guess.topics)),
    ` (${percent(guess.probability)}).`,
  );
}

function showEarlier(decision) {
  find("#eyebrow").textContent = decision ? "Your earlier decision" : "Text";
  find("#eyebrow").classList.toggle("unseen", !decision && !state.current?.labels);
  find("#earlier")?.remove();
  if (!decision) return;
  find("#eyebrow").after(make(
    "div", { id: "earlier", className: "notice" },
    make("p", {}, ...decision.kind === "skip" ? [`You skipped this text (${decision.reason})`]
      : ["You chose ", bold(named(decision))],
    ` on ${localTime(decision.at)}. To change that, choose again.`),
    make("p", { className: "row" }, button(showNext, "Keep it"), button(() => undo(decision.id), "Undo it")),
  ));
}
