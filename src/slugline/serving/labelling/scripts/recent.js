// The latest decisions.

// The number of decisions that are listed; more if somebody wants to see more.
let nListed = 8;

function showRecent() {
  const rows = state.recent.slice(0, nListed).map(({ decision, excerpt, isSaved }) => make(
    "li", {}, make(
      "button", { type: "button", onclick: () => goBack(decision.assignment) },
      make("b", {}, make("bdi", {}, named(decision))),
      make("span", { className: "excerpt", dir: "auto" }, excerpt || "(empty)"),
      make("span", { className: "soft" }, isSaved ? "" : "saving …"),
    ),
  ));
  const hadFocus = find("#recent").contains(document.activeElement);
  find("#recent").replaceChildren(...rows);
  if (hadFocus) find("#recent button")?.focus();
  find("#no-recent").hidden = rows.length > 0;
  find("#undo").disabled = !rows.length;
  find("#earlier-ones").hidden = !state.hasMore && state.recent.length <= nListed;
}

async function showMore() {
  await whenSaved();
  const before = state.recent.at(-1)?.decision.id;
  if (state.hasMore && before) {
    const reply = await attempt(() => call("/v1/recent", { before }));
    if (!reply) return;
    state.recent.push(...reply.decisions.map((each) => ({ ...each, isSaved: true })));
    state.hasMore = reply.has_more;
  }
  const first = nListed;
  nListed = state.recent.length;
  showRecent();
  findAll("#recent button")[first]?.focus();
}

function takeRecent({ decisions, has_more }) {
  state.hasMore = has_more;
  const pending = state.recent.filter((each) => !each.isSaved);
  state.recent = [...pending, ...decisions.map((each) => ({ ...each, isSaved: true }))];
  showRecent();
}
