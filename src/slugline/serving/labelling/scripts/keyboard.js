// Clicks and keys.

// Actions of single keys. These letters can't choose topics.
const COMMANDS = {
  u: () => undo(),
  g: () => showCopies(),
  n: () => {
    find("#note-box").open = true;
    find("#note").focus();
  },
  b: () => {
    find("#codebook-box").open = !find("#codebook-box").open;
    find("#codebook-box summary").focus();
  },
  "/": () => find("#search").focus(),
};
const TOPIC_KEYS = [..."123456789", ..."abcdefghijklmnopqrstuvwxyz"]
  .filter((key) => !(key in COMMANDS) && key !== KEEP_KEY && key !== CHANGE_KEY);
const SKIP_KEYS = { unclear: ",", "none of these": ".", "not for me": "-" };

// Maximum milliseconds between the clicks of a double click. Deliberate clicks for two short texts are
// slower.
const DOUBLE_CLICK = 300;
let lastClick = { timeStamp: -Infinity, place: null };

// Return true for the second click of a double click, which would apply to the next text.
function isDoubled({ detail, timeStamp, currentTarget: place }) {
  const isSame = place === lastClick.place && timeStamp - lastClick.timeStamp < DOUBLE_CLICK;
  lastClick = { timeStamp, place };
  return detail > 1 && isSame;
}

find("#topics").addEventListener("click", (event) => {
  if (isDoubled(event) && !state.isMultilabel) return;
  const button = event.target.closest("button");
  if (button) choose(button.dataset.topic);
});
find(".skips").addEventListener("click", (event) => {
  const reason = event.target.closest("button")?.dataset.skip;
  if (reason && !isDoubled(event)) decide("skip", reason);
});
find("#done").addEventListener("click", (event) => {
  if (!isDoubled(event)) decide("label");
});
find("#undo").addEventListener("click", (event) => {
  if (!isDoubled(event)) undo();
});
find("#earlier-ones").addEventListener("click", showMore);
find("#search").addEventListener("input", showTopics);
find("#topic-search").addEventListener("submit", (event) => {
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
  } catch { /* storage is disabled */ }
  showTopics();
  showReviewKeys();
});

const KEYS = [
  ["1 to 9, then letters", "choose a topic"],
  ["/", "find or add a topic"],
  ["Enter", "finish a text that may have several topics"],
  [Object.values(SKIP_KEYS).join("  "), `skip: ${Object.keys(SKIP_KEYS).join("; ")}`],
  ["u or Ctrl+Z", "undo the last decision"],
  ["g", "show texts that are nearly the same"],
  ["n", "write a note"],
  ["b", "open the codebook"],
  [`${KEEP_KEY}  ${CHANGE_KEY}`, "keep the topic of a suspect; change it to the proposed topic"],
];

document.addEventListener("keydown", (event) => {
  const { key } = event;
  if (event.repeat || event.altKey || event.isComposing) return;
  const isTyping = event.target.matches("input:not([type='checkbox']), textarea, select");
  if (isTyping) return;
  if (event.target.closest("#copies")) { // keys there apply to near copies
    if (key === "Escape") hideCopies();
    return;
  }
  if ((event.ctrlKey || event.metaKey) && key.toLowerCase() === "z") {
    event.preventDefault();
    undo();
    return;
  }
  if (event.ctrlKey || event.metaKey || !usesKeys()) return;
  if (act(key, event.target)) event.preventDefault();
});

// Handle a key; return true if it had an effect.
function act(key, target) {
  if (key === "Enter" && state.isMultilabel && !target.closest("button, summary, a")) {
    decide("label");
    return true;
  }
  if (Object.hasOwn(COMMANDS, key)) {
    COMMANDS[key]();
    return true;
  }
  if (key === KEEP_KEY || key === CHANGE_KEY) return actReview(key);
  const reason = Object.keys(SKIP_KEYS).find((each) => SKIP_KEYS[each] === key);
  if (reason) {
    decide("skip", reason);
    return true;
  }
  const topic = state.topics[TOPIC_KEYS.indexOf(key.toLowerCase())];
  if (topic) choose(topic.name);
  return Boolean(topic);
}
