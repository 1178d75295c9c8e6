// The codebook: topics described, renamed, merged and separated.

function takeCodebook(codebook, saved = null) {
  state.topics = codebook.topics;
  state.merged = codebook.merged;
  state.codebookVersion = codebook.version;
  showTopics();
  showCodebook(saved);
}

// Values of the codebook's fields before editing.
const initialValues = new WeakMap();

function isEdited(entry) {
  return findAll("input, textarea, select", entry)
    .some((field) => field.value !== initialValues.get(field));
}

// Show all topics; keep entries with edits, except the topic that was just saved.
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
    make("button", { type: "button", onclick: () => changeTopic("separate", { topic: topic.id }, topic.id) },
      "Undo merge"),
  ));
  find("#codebook").replaceChildren(
    ...entries.length ? entries : [make("p", { className: "soft" }, "No topics yet.")],
    merged.length ? make("ul", { className: "merged" }, ...merged) : "",
  );
}

const isUsed = (topic) => {
  const byTopic = state.progress?.by_topic ?? {};
  return Object.hasOwn(byTopic, topic.name) && byTopic[topic.name] > 0;
};

// Show the remove button of topics without labels.
function showRemovable() {
  for (const entry of findAll("#codebook details")) {
    const topic = state.topics.find((each) => each.id === Number(entry.dataset.topic));
    if (topic) find(".remove", entry).hidden = isUsed(topic);
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
  const description = make("textarea", { id: `${id}-description`, rows: 3, maxLength: 100000 });
  description.value = topic.description;
  const examples = make("textarea", { id: `${id}-examples`, rows: 3 });
  const exampleOf = new Map(topic.examples.map((each) => [shorten(each, 1000), each]));
  examples.value = [...exampleOf.keys()].join("\n");
  const name = make("input", { id: `${id}-name`, value: topic.name, maxLength: 1000 });
  const others = state.topics.filter((other) => other.id !== topic.id);
  const into = make("select", { id: `${id}-into` },
    ...others.map((other) => make("option", { value: other.name }, shorten(other.name, TOPIC_LENGTH))));
  for (const field of [description, examples, name, into]) initialValues.set(field, field.value);
  const takeText = make("button", { type: "button", onclick: () => {
    if (!state.current) return;
    examples.value = `${examples.value}\n${shorten(state.current.text, 1000)}`.trim();
  } }, "Add the current text");
  const save = (event) => {
    event.preventDefault();
    const lines = examples.value.split("\n");
    changeTopic("describe", {
      name: topic.name,
      description: description.value,
      examples: lines.map((line) => exampleOf.get(line) ?? line), // as they were before shortening
    }, topic.id);
  };
  const rename = (event) => {
    event.preventDefault();
    changeTopic("rename", { name: topic.name, new_name: name.value }, topic.id);
  };
  const merge = (event) => {
    event.preventDefault();
    changeTopic("merge", { name: topic.name, into: into.value }, topic.id);
  };
  const remove = make("button", { type: "button", className: "remove", hidden: isUsed(topic), onclick: () => {
    changeTopic("remove", { name: topic.name }, topic.id);
  } }, "Remove");
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
