// Topics as buttons, and new ones.

// Mark a button as unavailable while waiting for a text. It isn't disabled, because it would lose
// the focus, and Enter would do nothing once the text is there.
function markAwaiting(button) {
  button.ariaDisabled = String(!state.current);
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
    key.textContent = TOPIC_KEYS[index] || "";
    key.hidden = !key.textContent || !usesKeys();
    name.textContent = shorten(topic.name, TOPIC_LENGTH);
    const byTopic = state.progress?.by_topic ?? {};
    count.textContent = Object.hasOwn(byTopic, topic.name) ? byTopic[topic.name] || "" : "";
    const isChosen = state.chosen.has(topic.name);
    button.setAttribute("aria-pressed", String(isChosen));
    markAwaiting(button);
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
    find("#topic-search").append(add);
    add.classList.toggle("main", n === 0);
  }
  find("#no-topics").hidden = state.topics.length > 0 || Boolean(wanted);
  find("#done-row").hidden = !state.isMultilabel;
  markAwaiting(find("#done"));
  const n_chosen = state.chosen.size;
  find("#done-hint").textContent = n_chosen ? listed([...state.chosen]) : "no topic";
  findAll("[data-skip]").forEach(markAwaiting);
}

async function addTopic(name, isSure = false) {
  const text = state.current;
  const request = idempotencyKey();
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
  find("#card").focus(); // so that single-key shortcuts work again
  say(`${shorten(reply.topic.name, TOPIC_LENGTH)} was added`);
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
