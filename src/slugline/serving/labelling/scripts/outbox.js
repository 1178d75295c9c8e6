// Decisions to send to the server, kept in local storage until saved in case the window is closed.
const outbox = {
  entries: [],
  key: "",
  isStored: true, // local storage contains all entries
  isLoggedOut: false,
  sending: null, // promise of the current transfer
  hideUnsaved: null,
  wake: null, // retries immediately
};

// Take over entries from this coder's other windows. If another window is still open and sends an
// entry too, the server stores it once.
function openOutbox(key) {
  const prefix = `slugline-label ${key} `;
  outbox.key = prefix + idempotencyKey();
  try {
    const others = Object.keys(localStorage).filter((key) => key.startsWith(prefix));
    for (const key of others) outbox.entries.push(...parseEntries(localStorage.getItem(key)));
    outbox.entries.sort((a, b) => a.at - b.at);
    keepOutbox();
    if (outbox.isStored) for (const key of others) localStorage.removeItem(key);
  } catch { /* storage is disabled */ }
}

// Return stored entries, or none if damaged.
function parseEntries(stored) {
  try {
    return JSON.parse(stored).filter((entry) => entry.body.request);
  } catch {
    return [];
  }
}

function keepOutbox() {
  try {
    if (outbox.entries.length) localStorage.setItem(outbox.key, JSON.stringify(outbox.entries));
    else localStorage.removeItem(outbox.key);
    outbox.isStored = true;
  } catch {
    outbox.isStored = false; // Storage is disabled; the entries are only in memory.
  }
}

// Send all entries. The promise is fulfilled once each is saved or rejected.
function sendOutbox() {
  if (outbox.entries.length) outbox.sending ??= sendEntries().finally(() => { outbox.sending = null; });
  return outbox.sending;
}

async function sendEntries() {
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
      if (!(error instanceof RequestError)) throw error;
      if (error.status === 401) return;
      if (error.canRetry) {
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
}

function showUnsaved(error) {
  outbox.hideUnsaved?.();
  const n = outbox.entries.length;
  outbox.hideUnsaved = showProblem(
    `${error.message} ${n} ${n === 1 ? "decision has" : "decisions have"} not been saved yet; ` +
    "retrying.", button(() => outbox.wake?.(), "Retry now"),
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
  if (decision.n_copies) offerCopies(decision, entry.excerpt);
}

function noteRejected(entry, error) {
  state.recent = state.recent.filter((each) => each.request !== entry.body.request);
  showRecent();
  const hide = showProblem(`“${entry.excerpt}” was not saved. ${error.message}`, button(() => {
    hide();
    goBack(entry.body.assignment);
  }, "Show this text"));
}

// Retry, then wait until all decisions are saved or rejected.
async function whenSaved() {
  outbox.wake?.();
  await sendOutbox();
}

window.addEventListener("beforeunload", (event) => {
  const isKept = outbox.isLoggedOut && outbox.isStored;
  if (!outbox.entries.length || isKept) return;
  event.preventDefault();
  outbox.isLoggedOut = false; // If the coder stays, the next request leads to the login again.
});
window.addEventListener("online", () => outbox.wake?.());
