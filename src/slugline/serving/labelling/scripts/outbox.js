// Decisions that are on their way to the server.

// They stay in the browser's storage until the server has them, so that a closed window loses none.
const outbox = { entries: [], key: "", isSending: false, hideUnsaved: null, wake: null };

// Take over what other windows of this place left. If they are still open, both send it, and the
// server stores it once.
function openOutbox(place) {
  const prefix = `slugline-label ${place} `;
  outbox.key = prefix + requestName();
  try {
    const others = Object.keys(localStorage).filter((key) => key.startsWith(prefix));
    for (const key of others) outbox.entries.push(...JSON.parse(localStorage.getItem(key)));
    outbox.entries.sort((a, b) => a.at - b.at);
    keepOutbox();
    for (const key of others) localStorage.removeItem(key);
  } catch {
    // A browser may forbid storage.
  }
}

function keepOutbox() {
  try {
    if (outbox.entries.length) localStorage.setItem(outbox.key, JSON.stringify(outbox.entries));
    else localStorage.removeItem(outbox.key);
  } catch {
    // A browser may forbid storage; the window still has them.
  }
}

async function sendOutbox() {
  if (outbox.isSending) return;
  outbox.isSending = true;
  let seconds = 1;
  while (outbox.entries.length) {
    const entry = outbox.entries[0];
    try {
      const decision = await call("/v1/decide", entry.body);
      seconds = 1;
      outbox.hideUnsaved?.();
      outbox.hideUnsaved = null;
      outbox.entries.shift();
      keepOutbox();
      noteSaved(entry, decision);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      if (error.isTransient) {
        showUnsaved(error);
        await new Promise((resolve) => {
          outbox.wake = resolve;
          setTimeout(resolve, 1000 * seconds);
        });
        seconds = Math.min(2 * seconds, 15);
      } else {
        outbox.entries.shift();
        keepOutbox();
        noteRejected(entry, error);
      }
    }
  }
  outbox.isSending = false;
}

function showUnsaved(error) {
  outbox.hideUnsaved?.();
  const n = outbox.entries.length;
  const retry = make("button", { type: "button", onclick: () => outbox.wake?.() }, "Try now");
  outbox.hideUnsaved = showProblem(
    `${error.message} ${n} ${n === 1 ? "decision is" : "decisions are"} not saved yet; ` +
    "the page keeps trying.", retry,
  );
}

function noteSaved(entry, decision) {
  const shown = state.recent.find((each) => each.request === entry.body.request);
  if (shown) {
    shown.decision = decision;
    shown.isSaved = true;
  }
  showRecent();
  refreshProgress();
}

function noteRejected(entry, error) {
  state.recent = state.recent.filter((each) => each.request !== entry.body.request);
  showRecent();
  const open = make("button", { type: "button" }, "Show this text");
  const hide = showProblem(`“${entry.excerpt}” was not saved. ${error.message}`, open);
  open.addEventListener("click", () => {
    hide();
    goBack(entry.body.assignment);
  });
}

// Return once all decisions are saved or rejected.
async function whenSaved() {
  while (outbox.entries.length) {
    outbox.wake?.();
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

window.addEventListener("beforeunload", (event) => {
  if (outbox.entries.length) event.preventDefault();
});
window.addEventListener("online", () => outbox.wake?.());
