// Topic buttons, and new topics.

// Mark a button as unavailable while waiting for a text. Disabling it would lose the focus.
function markAwaiting(choice) {
  choice.ariaDisabled = String(!state.current);
}

function showTopics() {
  const wanted = find("#search").value.trim().toLowerCase();
  const list = find("#topics");
  // Keep the buttons, and with them the focus.
  while (list.children.length > state.topics.length) list.lastChild.remove();
  let n = 0;
  state.topics.forEach((topic, index) => {
    const row = list.children[index] || list.appendChild(make(
      "li", {}, make("button", { type: "button" }, make("kbd"), make("bdi"), make("span")),
    ));
    const choice = row.firstChild;
    const [key, name, count] = choice.children;
    choice.dataset.topic = topic.name;
    choice.title = topic.name.length > TOPIC_LENGTH ? topic.name : topic.description;
    key.textContent = TOPIC_KEYS[index] || "";
    key.hidden = !key.textContent || !usesKeys();
    name.textContent = shorten(topic.name, TOPIC_LENGTH);
    count.textContent = nLabels(topic) || "";
    choice.ariaPressed = String(state.chosen.has(topic.name));
    markAwaiting(choice);
    row.hidden = Boolean(wanted) && !topic.name.toLowerCase().includes(wanted);
    row.classList.toggle("first", Boolean(wanted) && !row.hidden && n === 0);
    n += !row.hidden;
  });
  const isExact = state.topics.some((topic) => topic.name.toLowerCase() === wanted);
  find("#add")?.remove();
  if (wanted && !isExact) {
    const typed = find("#search").value.trim();
    const add = button(() => addTopic(typed), "Add “", make("bdi", {}, typed), "”");
    add.id = "add";
    add.classList.toggle("main", n === 0);
    find("#topic-search").append(add);
  }
  find("#no-topics").hidden = state.topics.length > 0 || Boolean(wanted);
  find("#done-row").hidden = !state.isMultilabel;
  markAwaiting(find("#done"));
  const n_chosen = state.chosen.size;
  find("#done-hint").textContent = n_chosen ? listed([...state.chosen]) : "no topic";
  findAll("[data-skip]").forEach(markAwaiting);
}

function nLabels({ name }) {
  const byTopic = state.progress?.by_topic ?? {};
  return Object.hasOwn(byTopic, name) ? byTopic[name] : 0;
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
  find("#card").focus(); // for single-key shortcuts
  say(`${shorten(reply.topic.name, TOPIC_LENGTH)} was added`);
}

function askAbout(name, similar) {
  const box = find("#similar");
  const use = button(() => {
    box.hidden = true;
    choose(similar);
    find("#card").focus();
  }, "Use ", make("bdi", {}, shorten(similar, TOPIC_LENGTH)));
  use.classList.add("main");
  const add = button(() => addTopic(name, true), "Add ", make("bdi", {}, shorten(name, TOPIC_LENGTH)));
  box.replaceChildren(
    make("p", {}, "Did you mean ", bold(shorten(similar, TOPIC_LENGTH)), "?"),
    make("p", { className: "row" }, use, add),
  );
  box.hidden = false;
  use.focus();
}
