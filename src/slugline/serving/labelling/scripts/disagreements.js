// Settle disagreements between coders.

// Show the next text to settle after a document, or else the next text to label.
async function showNextDisagreement(after = 0) {
  await whenSaved();
  state.isSettled = false;
  const reply = await attempt(() => call("/v1/disagreement", { after }));
  if (!reply) return;
  if (reply.disagreement) {
    interpose({ ...reply.disagreement, guess: null, decision: null });
    return;
  }
  state.isSettled = true;
  showProgress();
  say("No disagreements left.");
  showNext();
}

function showDisagreement({ document: number, labels }) {
  find("#eyebrow").textContent = "Coders disagree about this text";
  const rows = labels.map(({ coder, decision }) => make(
    "li", {}, make("bdi", {}, coder), ": ", bold(named(decision)),
    decision.note ? make("span", { className: "soft" }, ` (${decision.note})`) : "",
  ));
  find("#eyebrow").after(make(
    "div", { id: "earlier", className: "notice" },
    make("ul", {}, ...rows), make("p", {}, "Your choice settles the disagreement."),
    make("p", { className: "row" },
      button(() => showNextDisagreement(number), "Leave it open"), button(showNext, "Back to labelling")),
  ));
}

async function settle(text, kind, topics) {
  const draft = readDraft();
  const body = {
    document: text.document, request: idempotencyKey(), kind, topics, note: draft.note.trim() || null,
  };
  show(null, "Saving …"); // prevents settling it twice
  const progress = await attempt(() => call("/v1/settle", body));
  if (!progress) {
    interpose({ ...text, draft });
    return;
  }
  takeProgress(progress);
  await showNextDisagreement(text.document);
}
