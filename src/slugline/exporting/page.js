// Answer while the user types. User text is inserted as text, never as markup.

const byId = (id) => document.getElementById(id);
const N_SHOWN = 5, MAX_SHOWN = 100000, MAX_READ = 2000000, PAUSE = 120; // topics, characters, milliseconds
const WAITING = [...byId("answer").childNodes], WHY = byId("why").textContent;

const TOO_LONG = `Over ${MAX_READ.toLocaleString("en")} characters; enter a part of the text.`;

const page = { model: null, answer: null, chosen: 0, showsAll: false };

function element(name, properties, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

/** Return a whole percentage; values that would round to 0 % or 100 % are shown as < 1 % or > 99 %. */
function percent(fraction) {
  if (fraction > 0 && fraction < 0.005) return "<\u00a01\u00a0%";
  if (fraction >= 0.995 && fraction < 1) return ">\u00a099\u00a0%";
  return `${fixed(100 * fraction, 0)}\u00a0%`;
}

// Topics -------------------------------------------------------------------------------------------

function update() {
  const text = byId("text").value;
  byId("clear").disabled = !text;
  const isTooLong = text.length > MAX_READ;
  const cells = [...document.querySelectorAll(".cells input")].map((input) => input.value);
  page.answer = text && !isTooLong ? classify(page.model, text, cells) : null;
  page.chosen = page.answer ? page.answer.order[0] : 0;
  showAnswer(isTooLong ? [TOO_LONG] : WAITING);
  showTopics();
  showWords();
}

function showAnswer(otherwise) {
  const { answer, model } = page, best = answer?.order[0], unsure = answer?.unsure;
  const status = byId("answer");
  byId("bars-title").textContent = unsure ? "Best guesses" : "Most likely topics";
  if (!answer) return status.replaceChildren(...otherwise);
  if (answer.given.length && model.multilabel) return status.replaceChildren(chipsOf(answer.given));
  const isNone = !unsure && !answer.given.length;
  const name = unsure ? "Unsure" : isNone ? "No topic" : model.topics[best];
  const className = `topic${unsure ? " unsure" : name.length > 24 ? " long" : ""}`;
  const words = unsure ? whyUnsure(unsure) : isNone ? reasonOf(best) : `${percent(answer.probabilities[best])} probable`;
  status.replaceChildren(element("strong", { dir: "auto", className }, name), " ", element("span", { className: "soft" }, words));
}

/** Return a button for each assigned topic to show its words. */
function chipsOf(topics) {
  return element("span", { className: "chips" }, ...topics.map((topic) => {
    const chip = element("button", { type: "button" }, element("bdi", {}, page.model.topics[topic]),
      " ", element("span", { className: "soft" }, percent(page.answer.probabilities[topic])));
    return choosable(chip, topic);
  }));
}

/** Explain why a multi-label topic is assigned or not. */
function reasonOf(topic) {
  const { model, answer } = page, isGiven = answer.given.includes(topic);
  const name = model.topics[topic], threshold = model.thresholds[topic];
  if (threshold === Infinity) return `The model is never sure enough of ${name} to give it.`;
  if (model.multilabel.ends.length && !model.hasPrecision) {
    return `Each text gets the topic at the end of its most likely path; ${name} has ${percent(answer.probabilities[topic])}.`;
  }
  const isReached = answer.probabilities[topic] >= threshold, limit = percent(threshold), probability = percent(answer.probabilities[topic]);
  if (isGiven && !isReached) return `${name} is given as the most likely topic: each text gets one, and none reaches its threshold.`;
  return `${name} is given from ${limit} on; here it has ${probability}${isReached && answer.unsure ? ", but the model is unsure of the text" : ""}.`;
}

function showTopics() {
  const { answer, model } = page, list = byId("topics"), more = byId("more");
  const order = answer ? answer.order : [...model.topics.keys()];
  const shown = page.showsAll && answer ? order : order.slice(0, N_SHOWN);
  more.classList.toggle("waiting", !answer);
  list.replaceChildren(...shown.map((topic) => topicRow(topic, answer)));
  more.hidden = order.length <= N_SHOWN;
  more.setAttribute("aria-expanded", String(page.showsAll));
  more.textContent = page.showsAll ? "Only the most likely" : `All ${order.length.toLocaleString("en")} topics`;
}

function topicRow(topic, answer) {
  const probability = answer ? answer.probabilities[topic] : 0;
  const name = element("span", { dir: "auto" }, answer ? page.model.topics[topic] : "\u00a0");
  const width = `${(100 * probability).toFixed(1)}%`;
  const bar = element("div", { innerHTML: `<svg aria-hidden="true"><rect width="${width}" height="100%"/></svg>` }).firstChild;
  if (!answer) {
    const row = element("li", {}, element("div", { className: "ghost" }, name, bar));
    row.setAttribute("aria-hidden", "true");
    return row;
  }
  const button = element("button", { type: "button" }, name, element("b", {}, percent(probability)), bar);
  return element("li", {}, choosable(button, topic));
}

function choosable(button, topic) {
  button.setAttribute("aria-pressed", String(topic === page.chosen));
  button.addEventListener("click", () => choose(topic));
  button.dataset.topic = topic;
  return button;
}

function choose(topic) {
  page.chosen = topic;
  for (const button of document.querySelectorAll("button[data-topic]")) {
    button.setAttribute("aria-pressed", String(Number(button.dataset.topic) === topic));
  }
  showWords();
}

// Words --------------------------------------------------------------------------------------------

function showWords() {
  const { answer, model, chosen } = page, marked = byId("marked"), legend = byId("legend");
  byId("why-section").hidden = !answer;
  if (!answer) return marked.replaceChildren();
  const { reading } = answer.row;
  const spans = attributionsOf(model, answer.row, chosen, pointsOf(model, reading, MAX_SHOWN));
  const pieces = piecesOf(placesOf(model, reading, spans));
  const isAnswer = answer.given.includes(chosen);
  byId("why").replaceChildren(isAnswer ? WHY : "What speaks for", " ", element("bdi", {}, model.topics[chosen]));
  legend.replaceChildren(...(pieces.length ? legendOf() : ["No word of the text counts for this topic or against it."]));
  if (model.multilabel) legend.prepend(`${reasonOf(chosen)} `);
  if (reading.given.length > MAX_SHOWN) {
    legend.append(" Only the beginning of the text is shown; all of it was read.");
  }
  marked.replaceChildren(markedText(reading.given, pieces));
}

function legendOf() {
  const sign = (name, words) => {
    const mark = element("mark", { className: name }, words);
    mark.style.setProperty("--strength", 0.6);
    return element("span", { className: "highlighted" }, mark);
  };
  return [sign("for", "Words marked like this"), " speak for it, ", sign("against", "words marked like this"),
    " against it: the deeper the colour, the more. Choose another topic to see its words."];
}

/** True if HTML can contain a character: no control characters or lone surrogates. */
function isShown(point) {
  const isControl = point < 0x20 || (point >= 0x7f && point < 0xa0), isSurrogate = point >= 0xd800 && point < 0xe000;
  return !isSurrogate && (!isControl || point === 0x09 || point === 0x0a || point === 0x0d);
}

/** Return the beginning of the text with its words marked. */
function markedText(points, pieces) {
  const text = (start, end) => {
    let letters = "";
    for (let i = start; i < end; i++) letters += isShown(points[i]) ? String.fromCodePoint(points[i]) : "\ufffd";
    return letters;
  };
  const found = element("bdi", { className: "highlighted" }), end = Math.min(points.length, MAX_SHOWN);
  let last = 0;
  for (const piece of pieces) {
    const mark = element("mark", { className: piece.attribution > 0 ? "for" : "against" }, text(piece.start, piece.end));
    mark.style.setProperty("--strength", piece.strength.toFixed(2));
    mark.title = (piece.attribution > 0 ? "+" : "−") + Math.abs(piece.attribution).toPrecision(3);
    found.append(text(last, piece.start), mark);
    last = piece.end;
  }
  found.append(text(last, end), end < points.length ? "…" : "");
  return found;
}

// Start --------------------------------------------------------------------------------------------

function listen() {
  const text = byId("text");
  let timer = 0;
  for (const field of [text, ...document.querySelectorAll(".cells input")]) {
    field.addEventListener("input", () => {
      clearTimeout(timer);
      timer = setTimeout(update, PAUSE);
    });
    field.disabled = false;
  }
  const set = (value) => {
    clearTimeout(timer);
    text.value = value;
    update();
  };
  byId("clear").addEventListener("click", () => { set(""); text.focus(); });
  for (const sample of document.querySelectorAll("#samples button")) {
    sample.addEventListener("click", () => set(sample.dataset.text));
    sample.disabled = false;
  }
  byId("more").addEventListener("click", () => {
    page.showsAll = !page.showsAll;
    showTopics();
  });
}

async function begin() {
  try {
    const facts = JSON.parse(byId("facts").textContent);
    page.model = await loadModel(facts, byId("weights").textContent);
    listen();
    update();
  } catch (error) {
    byId("trouble").textContent =
      `The model can’t be read (${error.message}). Open the page in a browser of summer 2023 or later, or get an intact copy.`;
    byId("trouble").hidden = false;
  }
}

begin();
