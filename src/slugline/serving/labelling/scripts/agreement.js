// Agreement between coders, settlements and withdrawals.

// Minimum number of double-coded texts for useful intervals.
const FEW_TEXTS = 30;
// Maximum number of listed pairs of topics.
const N_CONFUSIONS = 10;
let awaiting;
// Current reply as JSON. An unchanged reply isn't redrawn: that would lose the focus and clicks.
let shownReply = "";

const isAgreementOpen = () => find("#agreement-box").open;

// Show the agreement, and update it while it is being measured.
async function refreshAgreement() {
  clearTimeout(awaiting);
  if (!isAgreementOpen()) return;
  const reply = await attempt(() => call("/v1/agreement"));
  if (reply) takeAgreement(reply);
}

function takeAgreement(reply) {
  clearTimeout(awaiting);
  const json = JSON.stringify(reply);
  if (json !== shownReply) showAgreement(reply);
  shownReply = json;
  if (!reply.is_current && isAgreementOpen()) awaiting = setTimeout(refreshAgreement, 1000);
}

function showAgreement({ agreement, is_current, withdrawals, settlements }) {
  const box = find("#agreement");
  const hadFocus = box.contains(document.activeElement);
  box.replaceChildren(
    ...agreement ? peopleParts(agreement) : [soft("Measuring the agreement …")],
    ...agreement && !is_current ? [soft("Counting newer labels …")] : [],
    ...agreement ? coderParts(agreement.coders) : [],
    ...agreement ? agreement.imported.flatMap(importedParts) : [],
    ...withdrawalParts(withdrawals), ...settlementParts(settlements),
  );
  if (hadFocus) find("#agreement-box summary").focus();
}

const nameOf = (name) => make("bdi", {}, shorten(name, TOPIC_LENGTH));

function peopleParts(agreement) {
  const n = agreement.exact_n_documents;
  if (!n) {
    return [soft("No text has been labelled by two people yet. Ask somebody else to label too, and start " +
      "the page with --double 0.1 to have one text in ten labelled twice.")];
  }
  return [
    make("p", {}, `${counted(n, "text")} labelled by two or more people.` +
      (n < FEW_TEXTS ? " With so few, the intervals are wide." : "")),
    ...groupParts(agreement, "people"),
  ];
}

// Return tables of alpha, agreement by topic, and confusions.
function groupParts(group, name) {
  const facts = [
    ["same topics", ...measured(group, "exact", percent)],
    ["Krippendorff’s alpha", ...measured(group, "alpha", hundredths)],
  ];
  const topics = group.topics.map((each) => [
    nameOf(each.topic), number(each.agreement_n_documents),
    ...measured(each, "agreement", percent), ...measured(each, "alpha", hundredths),
  ]);
  const head = ["topic", "texts", "other agrees", "95 % interval", "alpha", "95 % interval"];
  return [
    table(`Agreement of ${name}`, ["measure", "value", "95 % interval"], facts),
    topics.length ? table(`Agreement of ${name} by topic`, head, topics) : "",
    ...confusionParts(group.confusions, name),
  ];
}

function confusionParts(confusions, name) {
  if (!confusions.length) return [soft("No two topics are confused.")];
  const rows = confusions.slice(0, N_CONFUSIONS).map((each) => [
    nameOf(each.first_topic), nameOf(each.second_topic || "(not given)"),
    number(each.n_documents), nameOf(each.first_coder), nameOf(each.second_coder),
  ]);
  const head = ["confused", "with", "texts", "the first by", "the second by"];
  return [table(`Confusions of ${name}`, head, rows)];
}

function coderParts(coders) {
  if (!coders.length) return [];
  const hasRepeated = coders.some((each) => each.repeated_n_documents);
  const rows = coders.map((each) => [
    nameOf(each.kind === "person" ? each.coder : `${each.coder} (imported)`),
    number(each.n_labels), number(each.n_skipped), ...measured(each, "others", percent),
    ...hasRepeated ? measured(each, "repeated", percent) : [],
    ...state.maySettle ? [withdrawButton(each)] : [],
  ]);
  const head = ["coder", "labels", "skipped", "others agree", "95 % interval",
    ...hasRepeated ? ["same again", "95 % interval"] : [],
    ...state.maySettle ? [make("span", { className: "unseen" }, "Withdraw")] : []];
  return [
    table("Coders", head, rows),
    hasRepeated ? "" : soft("No text has been repeated yet. Some are repeated after a while, to check " +
      "whether a coder gives the same answer."),
  ];
}

function withdrawButton({ coder, n_labels }) {
  if (!n_labels) return "";
  return button(() => {
    if (!confirm(`Withdraw ${counted(n_labels, "label")} of ${shorten(coder, TOPIC_LENGTH)}?`)) return;
    changeCoders("withdraw", { coder, request: idempotencyKey() });
  }, "Withdraw", make("span", { className: "unseen" }, " the labels of ", nameOf(coder)));
}

function importedParts({ coder, ...group }) {
  const n = group.exact_n_documents;
  const heading = make("h3", {}, nameOf(coder), ` compared with people: ${counted(n, "text")}`);
  return [heading, ...n ? groupParts(group, coder) : []];
}

function withdrawalParts(withdrawals) {
  if (!withdrawals.length) return [];
  const rows = withdrawals.map((each) => make(
    "li", {}, "The labels of ", make("b", {}, nameOf(each.coder)), " were withdrawn by ",
    nameOf(each.person), `, ${localTime(each.at)}. `,
    coderButton("Restore them", "restore", { withdrawal: each.id }),
  ));
  return [make("h3", {}, "Withdrawn"), make("ul", {}, ...rows)];
}

function settlementParts(settlements) {
  if (!settlements.length) return [];
  const rows = settlements.map((each) => make(
    "li", {}, bold(each.is_skip ? "no answer" : topicNames(each.topics)),
    ", by ", nameOf(each.person), ": ", make("span", { className: "soft", dir: "auto" }, each.excerpt),
    " ", coderButton("Undo", "settle/undo", { settlement: each.id, request: idempotencyKey() }),
  ));
  return [make("h3", {}, "Settled"), make("ul", {}, ...rows)];
}

function coderButton(words, change, body) {
  return state.maySettle ? button(() => changeCoders(change, body), words) : "";
}

async function changeCoders(change, body) {
  await whenSaved();
  const reply = await attempt(() => call(`/v1/${change}`, body));
  if (!reply) return;
  takeAgreement(reply);
  refreshProgress();
  state.isAtEnd = false; // texts may be free now
  keepFilled();
  refreshRecent();
}

const hundredths = (value) => value.toFixed(2);

// Return two cells: a value and its interval.
function measured(owner, key, format) {
  const value = owner[key];
  return value === null ? ["–", "–"]
    : [format(value), `${format(owner[`${key}_low`])} to ${format(owner[`${key}_high`])}`];
}

function table(name, head, rows) {
  const columns = head.map((cell) => make("th", { scope: "col" }, cell));
  const body = rows.map(([first, ...cells]) => make(
    "tr", {}, make("th", { scope: "row" }, first), ...cells.map((cell) => make("td", {}, cell)),
  ));
  return make("div", { className: "scroll", tabIndex: 0, role: "region", "aria-label": name },
    make("table", {}, make("thead", {}, make("tr", {}, ...columns)), make("tbody", {}, ...body)));
}

find("#agreement-box").addEventListener("toggle", refreshAgreement);
