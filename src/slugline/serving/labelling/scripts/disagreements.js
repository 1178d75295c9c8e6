// Settles texts to which coders gave different topics.

async function showDisagreements() {
  await whenSaved();
  const reply = await attempt(() => call("/v1/disagreements"));
  if (!reply) return;
  const [first] = reply.disagreements;
  if (first) interpose({ ...first, guess: null, decision: null });
  else showNext();
}

function showDisagreement({ labels }) {
  find("#eyebrow").textContent = "Coders disagree on this text";
  const rows = labels.map(({ coder, decision }) => make(
    "li", {}, make("bdi", {}, coder), ": ", make("b", {}, make("bdi", {}, named(decision))),
    decision.note ? make("span", { className: "soft" }, ` (${decision.note})`) : "",
  ));
  find("#eyebrow").after(make(
    "div", { id: "earlier", className: "notice" },
    make("ul", {}, ...rows), make("p", {}, "What you choose now settles it."),
    make("p", { className: "row" },
      make("button", { type: "button", onclick: showNext }, "Leave it open")),
  ));
}

async function settle({ document: number }, kind, topics) {
  const note = find("#note").value.trim() || null;
  const request = requestName();
  const progress = await attempt(() => call("/v1/settle", {
    document: number, request, kind, topics, note,
  }));
  if (!progress) return;
  takeProgress(progress);
  state.current = null;
  if (progress.n_disagreements) showDisagreements();
  else showNext();
}
