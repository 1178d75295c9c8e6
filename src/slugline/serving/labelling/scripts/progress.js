// Progress: counts of labels, and the accuracy of a model trained on them.

let refreshing;

// Update the progress soon, then repeatedly while the server may be training on the last label. Drop
// late replies to earlier calls.
function refreshProgress(delays = [300, 3000, 8000, 20000, 60000]) {
  clearTimeout(refreshing);
  const [delay, ...later] = delays;
  const timer = setTimeout(async () => {
    try {
      const progress = await call("/v1/progress");
      if (timer === refreshing) takeProgress(progress);
    } catch (error) {
      if (!(error instanceof RequestError)) throw error; // the next decision asks again
    }
    if (later.length && timer === refreshing) refreshProgress(later);
  }, delay);
  refreshing = timer;
}

function takeProgress(progress) {
  state.progress = progress;
  showProgress();
  showRemovable();
  if (progress.codebook_version !== state.codebookVersion) { // another coder has changed it
    attempt(async () => takeCodebook(await call("/v1/codebook")));
  } else {
    showTopics();
  }
}

function showProgress() {
  const { progress } = state;
  const n_done = progress.n_labelled + progress.n_skipped;
  const facts = state.content === "suspects" ? [
    `${number(n_done)} of ${counted(progress.n_texts, "suspect")} decided`,
  ] : [
    `${number(progress.n_labelled)} of ${counted(progress.n_texts, "text")} labelled`
      + (progress.n_mine && progress.n_mine !== progress.n_labelled ? `, ${number(progress.n_mine)} by you` : ""),
    progress.n_near_copies ? `${number(progress.n_near_copies)} of them as near copies` : null,
    progress.n_skipped ? `${number(progress.n_skipped)} skipped` : null,
  ].filter(Boolean);
  const toSettle = progress.has_other_coders && state.maySettle ? make(
    "p", {}, button(() => showNextDisagreement(), "Settle disagreements"),
    state.isSettled ? make("span", { className: "soft" }, " No disagreements left.") : "",
  ) : "";
  find("#progress-summary").replaceChildren(
    make("progress", { max: progress.n_texts || 1, value: n_done, "aria-label": "Decided texts" }),
    make("p", {}, facts.join("; "), "."),
    toSettle,
    ...state.content === "texts" ? accuracyLines(progress) : [],
  );
}

function forecastLine({ gain, low, high }) {
  const points = (fraction) => (100 * fraction).toFixed(1);
  return `Twice as many labels should add about ${points(gain)} percentage points ` +
    `(${points(low)} to ${points(high)}).`;
}

function topicTable(topics) {
  const wasOpen = find("#by-topic")?.open;
  const rows = topics.map(({ topic, accuracy, low, high }) => make(
    "tr", {}, make("th", { scope: "row" }, make("bdi", {}, topic)),
    make("td", {}, percent(accuracy)), make("td", { className: "soft" }, `${percent(low)} to ${percent(high)}`),
  ));
  const head = ["Topic", "Right", "95 % interval"].map((name) => make("th", { scope: "col" }, name));
  return make("details", { id: "by-topic", open: wasOpen }, make("summary", {}, "By topic"),
    make("table", {}, make("thead", {}, make("tr", {}, ...head)), make("tbody", {}, ...rows)));
}

// Accuracy of a model trained on the labels so far.
function accuracyLines({ accuracy, n_needed, topics, forecast, advice, problem }) {
  if (problem) {
    return [make("p", { className: "bad" }, `No model could be trained on these labels: ${problem}`)];
  }
  if (!accuracy && !n_needed) {
    return [soft("Measuring the accuracy of a model trained on these labels …")];
  }
  if (!accuracy) {
    return [soft(`After about ${counted(n_needed, "more label")} of at least two topics, this page shows how ` +
      "often a model trained on them is right.")];
  }
  const undecided = accuracy.n_skipped
    ? `; ${counted(accuracy.n_skipped, "skipped or undecided text")} may be right or wrong` : "";
  return [
    make("p", {}, "A model trained on these labels is right for about ",
      make("b", {}, percent(accuracy.accuracy)), " of the other texts."),
    soft(`Between ${percent(accuracy.low)} and ` +
      `${percent(accuracy.high)} with 95 % confidence, however often you check; measured on ` +
      `${counted(accuracy.n_labels, "label")}${undecided}.`),
    advice ? make("p", {}, advice) : "",
    forecast ? soft(forecastLine(forecast)) : "",
    topics.length ? topicTable(topics) : "",
  ];
}
