// The codebook: describe, rename, merge, separate and remove topics.

function takeCodebook(codebook, saved = null) {
  state.topics = codebook.topics;
  state.merged = codebook.merged;
  state.codebookVersion = codebook.version;
  showTopics();
  showCodebook(saved);
}

const isEdited = (entry) => findAll("input, textarea", entry)
  .some((field) => field.value !== field.defaultValue);

// Show all topics. Keep entries with edits, except the topic just saved.
function showCodebook(saved = null) {
  const box = find("#codebook-box");
  if (!box.open) return;
  const isTyping = box.contains(document.activeElement)
    && document.activeElement.matches("input, textarea");
  if (isTyping) return;
  const present = new Map(
    findAll("#codebook details").map((entry) => [Number(entry.dataset.topic), entry]),
  );
  const entries = state.topics.map((topic) => {
    const entry = present.get(topic.id);
    return entry && topic.id !== saved && isEdited(entry) ? entry
      : codebookEntry(topic, Boolean(entry?.open));
  });
  const merged = state.merged.map((topic) => make(
    "li", {}, make("bdi", {}, shorten(topic.name, TOPIC_LENGTH)), " was merged into ",
    make("bdi", {}, shorten(topic.into, TOPIC_LENGTH)), " ",
    button(() => changeTopic("separate", { topic: topic.id }, topic.id), "Undo merge"),
  ));
  find("#codebook").replaceChildren(
    ...entries.length ? entries : [soft("No topics yet.")],
    merged.length ? make("ul", { className: "merged" }, ...merged) : "",
  );
}

// Show the Remove buttons of topics without labels.
function showRemovable() {
  for (const entry of findAll("#codebook details")) {
    const topic = state.topics.find((each) => each.id === Number(entry.dataset.topic));
    if (topic) find(".remove", entry).hidden = nLabels(topic) > 0;
  }
}

async function changeTopic(change, body, id) {
  const request = idempotencyKey();
  const codebook = await attempt(() => call(`/v1/topics/${change}`, { ...body, request }), "codebook");
  if (!codebook) return;
  document.activeElement?.blur();
  takeCodebook(codebook, id);
  refreshRecent(); // names may have changed
  refreshProgress();
  say("Codebook saved");
}

function codebookEntry(topic, isOpen) {
  const id = `topic-${topic.id}`;
  const description = make("textarea", { id: `${id}-description`, rows: 3, maxLength: 100000 }, topic.description);
  const exampleOf = new Map(topic.examples.map((each) => [shorten(each, 1000), each]));
  const examples = make("textarea", { id: `${id}-examples`, rows: 3 }, [...exampleOf.keys()].join("\n"));
  const name = make("input", { id: `${id}-name`, defaultValue: topic.name, maxLength: 1000 });
  const others = state.topics.filter((other) => other.id !== topic.id);
  const into = make("select", { id: `${id}-into` },
    ...others.map((other) => make("option", { value: other.name }, shorten(other.name, TOPIC_LENGTH))));
  const takeText = button(() => {
    if (state.current) examples.value = `${examples.value}\n${shorten(state.current.text, 1000)}`.trim();
  }, "Add the current text");
  const changer = (change, body) => (event) => {
    event.preventDefault();
    changeTopic(change, { name: topic.name, ...body() }, topic.id);
  };
  const save = changer("describe", () => ({
    description: description.value,
    examples: examples.value.split("\n").map((line) => exampleOf.get(line) ?? line), // undo shortening
  }));
  const rename = changer("rename", () => ({ new_name: name.value }));
  const merge = changer("merge", () => ({ into: into.value }));
  const remove = button(changer("remove", () => ({})), "Remove");
  remove.className = "remove";
  remove.hidden = nLabels(topic) > 0;
  return make(
    "details", { open: isOpen, "data-topic": topic.id },
    make("summary", {}, make("bdi", {}, shorten(topic.name, TOPIC_LENGTH)),
      make("span", { className: "soft" }, shorten(topic.description, 100))),
    make("form", { className: "fields", onsubmit: save },
      make("p", {}, make("label", { htmlFor: description.id }, "Description"), description),
      make("p", {}, make("label", { htmlFor: examples.id }, "Examples, one per line"), examples),
      make("p", { className: "row" }, make("button", { className: "main" }, "Save"), takeText,
        make("span", { className: "soft" }, `last changed ${localTime(topic.changed)}`))),
    make("form", { className: "row change", onsubmit: rename },
      make("label", { htmlFor: name.id }, "Name"), name, make("button", {}, "Rename"), remove),
    others.length ? make("form", { className: "row change", onsubmit: merge },
      make("label", { htmlFor: into.id }, "Merge into"), into, make("button", {}, "Merge")) : "",
  );
}

find("#codebook-box").addEventListener("toggle", () => showCodebook());
