// Offer, show, label and undo near copies of a labelled text.

// Maximum length of a near copy on the page.
const COPY_LENGTH = 600;
// Text whose near copies are offered or shown: {assignment, topics, excerpt}.
let original = null;

function offerCopies({ assignment, topics, n_copies }, excerpt) {
  if (find("#copies form")) return; // the coder is reviewing others
  original = { assignment, topics, excerpt };
  fillCopies(
    make("p", { className: "row" },
      make("span", {}, make("b", {}, counted(n_copies, "text")), n_copies === 1 ? " is" : " are",
        " nearly the same as “", make("bdi", {}, excerpt), "”, which you labelled ",
        bold(listed(topics) || "with no topic"), "."),
      button(showCopies, "Show ", n_copies === 1 ? "it " : "them ", usesKeys() ? make("kbd", {}, "g") : ""),
      button(hideCopies, "Not now")),
  );
  // The last announcement may not have been read yet.
  say(`${find("#announcements").textContent} ${counted(n_copies, "text")} nearly the same as the last one`);
}

function fillCopies(...content) {
  find("#copies").replaceChildren(
    make("h2", { id: "copies-title", className: "unseen" }, "Nearly the same"), ...content,
  );
  find("#copies").hidden = false;
}

function hideCopies() {
  const hadFocus = find("#copies").contains(document.activeElement);
  find("#copies").hidden = true;
  find("#copies").replaceChildren();
  original = null;
  if (hadFocus) find("#card").focus();
}

// Show the near copies of `original`.
async function showCopies() {
  if (!original) return;
  await whenSaved();
  const { assignment } = original;
  const reply = await attempt(() => call("/v1/copies", { assignment }));
  if (!reply || original?.assignment !== assignment) return;
  original = { ...original, topics: reply.topics };
  const words = new Set(reply.text.toLowerCase().split(/\s+/));
  const hasLabels = reply.copies.some((copy) => copy.topics);
  const save = make("button", { className: "main" });
  const rows = reply.copies.map((copy) => copyRow(copy, words));
  const form = make(
    "form", { onsubmit: labelCopies, onchange: () => countCopies(save) },
    make("p", {}, "You labelled this text ",
      bold(listed(reply.topics) || "with no topic"), ":"),
    make("p", { className: "original", dir: "auto" }, shorten(reply.text, COPY_LENGTH)),
    make("p", {}, rows.length ? "These texts are nearly the same; differing words are marked."
      : "No other text is nearly the same."),
    make("ul", {}, ...rows),
    reply.n_more ? make("p", { className: "soft" },
      `${number(reply.n_more)} more will appear once you label these.`) : "",
    make("p", { className: "row" }, rows.length ? save : "",
      hasLabels ? button(() => undoCopies(assignment), "Undo their labels") : "",
      button(hideCopies, rows.length ? "Not now" : "Close")),
  );
  fillCopies(form);
  countCopies(save);
  (find("input", form) || find("button", form)).focus();
  find("#copies").scrollIntoView({ block: "nearest" });
}

function copyRow({ key, text, topics }, words) {
  const pieces = shorten(text, COPY_LENGTH).split(/(\s+)/).map((piece) => (
    !piece.trim() || piece === "…" || words.has(piece.toLowerCase()) ? piece : make("mark", {}, piece)));
  return make(
    "li", {}, make("label", {},
      make("input", { type: "checkbox", value: key, checked: true }),
      make("span", { dir: "auto" }, ...pieces),
      topics ? make("span", { className: "soft" }, make("bdi", {}, topicNames(topics))) : ""),
  );
}

const checkedKeys = () => findAll("#copies input:checked").map((box) => box.value);

function countCopies(save) {
  const n = checkedKeys().length;
  save.disabled = n === 0;
  save.replaceChildren(`Label ${counted(n, "text")} `, original.topics.length ? "as " : "",
    make("bdi", {}, listed(original.topics) || "with no topic"));
}

async function labelCopies(event) {
  event.preventDefault();
  const keys = checkedKeys();
  if (!keys.length) return;
  const { assignment, topics } = original;
  const save = find("button.main", event.target);
  save.disabled = true; // prevents a second request
  const request = idempotencyKey();
  const reply = await attempt(() => call("/v1/copies/label", { assignment, request, keys }));
  save.disabled = false;
  if (!reply) return;
  hideCopies();
  say(`${counted(reply.n_copies, "text")} labelled ${listed(topics)}`);
  refreshProgress();
  refreshRecent();
}

async function undoCopies(assignment) {
  const request = idempotencyKey();
  const reply = await attempt(() => call("/v1/copies/undo", { assignment, request }));
  if (!reply) return;
  hideCopies();
  say(`${counted(reply.n_copies, "label")} undone`);
  refreshProgress();
  state.isAtEnd = false; // these texts may come again
  keepFilled();
  refreshRecent();
}
