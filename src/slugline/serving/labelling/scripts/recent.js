// The list of recent decisions.

let nListed = 8; // maximum length of the list
let nLists = 0; // number of updates

function showRecent() {
  nLists += 1;
  const rows = state.recent.slice(0, nListed).map((item) => make(
    "li", {}, make(
      "button", { type: "button", onclick: () => openDecision(item) }, bold(named(item.decision)),
      make("span", { className: "excerpt", dir: "auto" }, item.excerpt || "(empty)"),
      make("span", { className: "soft" }, item.isSaved ? copiesNote(item) : "saving …"),
    ),
  ));
  const hadFocus = find("#recent").contains(document.activeElement);
  find("#recent").replaceChildren(...rows);
  if (hadFocus) find("#recent button")?.focus();
  find("#no-recent").hidden = rows.length > 0;
  find("#undo").disabled = !rows.length;
  find("#earlier-ones").hidden = !state.hasMore && state.recent.length <= nListed;
}

const copiesNote = ({ n_copies: n }) => (
  n ? `${number(n)} near ${n === 1 ? "copy" : "copies"}` : "");

// Show the text of a decision, or the near copies labelled with it.
function openDecision({ decision, excerpt, original: assignment }) {
  if (!assignment) {
    goBack(decision.assignment);
    return;
  }
  original = { assignment, topics: decision.topics, excerpt };
  showCopies();
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

// Load the list from the server; repeat if it changed meanwhile.
async function refreshRecent() {
  let nBefore, reply;
  do {
    nBefore = nLists;
    reply = await attempt(() => call("/v1/recent", {}));
  } while (reply && nLists !== nBefore);
  if (reply) takeRecent(reply);
}

function takeRecent({ decisions, has_more }) {
  state.hasMore = has_more;
  const pending = state.recent.filter((each) => !each.isSaved);
  const assignments = new Set(pending.map((each) => each.decision.assignment));
  const saved = decisions.filter((each) => !assignments.has(each.decision.assignment));
  state.recent = [...pending, ...saved.map((each) => ({ ...each, isSaved: true }))];
  showRecent();
}
