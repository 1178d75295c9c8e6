// Send and undo decisions.

function decide(kind, reason = null) {
  const text = state.current;
  if (!text) return;
  const topics = kind === "label" ? [...state.chosen] : [];
  if (kind === "label" && !state.isMultilabel && topics.length !== 1) return;
  if (text.labels) {
    settle(text, kind, topics);
    return;
  }
  const body = {
    assignment: text.assignment, request: idempotencyKey(), kind, topics, reason,
    note: find("#note").value.trim() || null, supersedes: text.decision?.id ?? null,
  };
  const excerpt = shorten(text.text, 80);
  outbox.entries.push({ body, excerpt, at: Date.now() });
  keepOutbox();
  const decision = { ...body, id: null, at: new Date().toISOString() };
  state.recent = state.recent.filter((each) => each.decision.assignment !== text.assignment);
  state.recent.unshift({ decision, excerpt, request: body.request, isSaved: false });
  showNext();
  showRecent();
  sendOutbox();
}

function choose(name) {
  if (!state.current) return;
  if (!state.isMultilabel) {
    state.chosen = new Set([name]);
    decide("label");
    return;
  }
  if (!state.chosen.delete(name)) state.chosen.add(name);
  find("#search").value = "";
  showTopics();
  say(`${name} is ${state.chosen.has(name) ? "selected" : "not selected"}`);
}

// Show an earlier text, then the current one again.
async function goBack(assignment) {
  await whenSaved();
  const text = await attempt(() => call("/v1/text", { assignment }));
  if (text) interpose(text);
}

// Return the note and topics of the current text, for `show` to restore.
function readDraft() {
  return { note: find("#note").value, topics: [...state.chosen] };
}

function interpose(text) {
  state.queue = state.queue.filter((each) => each.assignment !== text.assignment);
  const { current } = state;
  if (current && !current.decision && !current.labels && current.assignment !== text.assignment) {
    state.queue.unshift({ ...current, draft: readDraft() });
  }
  show(text);
  find("#card").focus();
}

async function undo(decision) {
  await whenSaved();
  const last = state.recent.find((each) => each.isSaved);
  if (!decision && last?.original) {
    undoCopies(last.original);
    return;
  }
  const number = decision ?? last?.decision.id;
  if (!number) return;
  const text = await attempt(() => call("/v1/undo", { decision: number, request: idempotencyKey() }));
  if (!text) return;
  if (original?.assignment === text.assignment) hideCopies();
  state.recent = state.recent.filter((each) => each.decision.assignment !== text.assignment);
  showRecent();
  refreshProgress();
  interpose(text);
}
