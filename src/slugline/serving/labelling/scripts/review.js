// Show the evidence against the topics of a suspect, to keep or change them.

const KEEP_KEY = "k", CHANGE_KEY = "c";

// Show the evidence below the text, if there is any.
function showReview(text) {
  find("#review")?.remove();
  const review = text?.review;
  if (!review) return;
  const now = state.isMultilabel ? "Current topics: " : "Current topic: ";
  find("#guess").after(make(
    "div", { id: "review", className: "notice review" },
    make("p", {}, now, topicName(review.topics), "; the other documents suggest ", topicName(review.proposal), "."),
    make("ul", {}, ...review.reasons.map((reason) => make("li", { dir: "auto" }, reason))),
    make("p", { className: "row" }, reviewButton("Keep", review.topics, KEEP_KEY),
      canChange(review) ? reviewButton("Change to", review.proposal, CHANGE_KEY) : null),
  ));
  showReviewKeys();
}

const topicName = (topics) => bold(topicNames(topics));

// True if the proposal differs and has an allowed number of topics.
function canChange({ topics, proposal }) {
  const isAllowed = state.isMultilabel || proposal.length === 1;
  return isAllowed && [...topics].sort().join("\n") !== [...proposal].sort().join("\n");
}

function reviewButton(verb, topics, key) {
  return make(
    "button", { type: "button", "data-review": key, onclick: (event) => {
      if (event.detail <= 1) decideReview(topics);
    } },
    `${verb} `, make("bdi", {}, topicNames(topics)), " ", make("kbd", {}, key),
  );
}

function showReviewKeys() {
  for (const key of findAll("#review kbd")) key.hidden = !usesKeys();
}

function decideReview(topics) {
  state.chosen = new Set(topics);
  decide("label");
}

// Handle a key of the review. Return true if it had an effect.
function actReview(key) {
  const review = state.current?.review;
  if (!review || (key === CHANGE_KEY && !canChange(review))) return false;
  decideReview(key === KEEP_KEY ? review.topics : review.proposal);
  return true;
}

// Adapt the wording of the page if it shows suspects.
function showContent() {
  if (state.content !== "suspects") return;
  find("h1").textContent = "Review suspects";
  document.title = "Review suspects – Slugline";
  find("#question").textContent = state.isMultilabel ? "Which topics are right?"
    : "Which topic is right?";
  find(".skips span").textContent = "Or:";
  find("[data-skip='none of these']").firstChild.textContent = "remove it";
  find("#no-recent").textContent = "No decisions yet.";
  find("#codebook-box").hidden = true; // --map-topics renames topics in the data
}
