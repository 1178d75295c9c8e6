// Fetches and shows texts, one after the other, and earlier ones again.

// Texts that are fetched before they are shown.
const N_AHEAD = 2;

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
    state.isMeasured ? "A model of the labels so far would say " : "The model would say ",
    make("b", {}, make("bdi", {}, listed(guess.topics))),
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
