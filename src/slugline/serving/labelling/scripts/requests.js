// Requests to the server, and messages to the coder.

// Refused request, or an unanswered one if the status is 0.
class RequestError extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
    // True if the same request may succeed later.
    this.canRetry = status === 0 || status === 408 || status === 429 || status >= 500;
  }
}

async function call(path, body) {
  let response, reply;
  try {
    response = await fetch(path, body === undefined ? {} : {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(body),
    });
    reply = await response.json();
  } catch {
    throw new RequestError(response && !response.ok ? response.status : 0,
      "The server is not responding. Is it still running?");
  }
  if (response.status === 401) logIn();
  if (!response.ok) throw new RequestError(response.status, sentence(reply.detail || reply.title || ""));
  return reply;
}

// Go to the login page. After login, the label page sends the outbox.
function logIn() {
  if (outbox.isLoggedOut) return; // A second navigation would cancel the first.
  outbox.isLoggedOut = true;
  location.assign("/login");
}

// Return a message as a sentence with typographic quotes.
const sentence = (detail) => (detail.charAt(0).toUpperCase() + detail.slice(1))
  .replace(/(^|[\s(])'([^'\n]*)'(?=[\s,.;:)]|$)/g, "$1“$2”");

// Return an idempotency key: the server applies a repeated request once.
function idempotencyKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

// Announce a message to screen readers.
function say(words) {
  find("#announcements").textContent = words;
}

// Show a problem until dismissed. Return a function to close it.
function showProblem(message, ...buttons) {
  const problem = make("div", { className: "problem" }, make("p", {}, message));
  const close = () => problem.remove();
  problem.append(make("p", { className: "row" }, ...buttons.length ? buttons : [button(close, "Dismiss")]));
  find("#problems").append(problem);
  return close;
}

// Functions to close the last problem, by subject, such as the codebook.
const closers = new Map();

// Run a request; show its error until the next attempt at the same subject.
async function attempt(work, subject = null) {
  closers.get(subject)?.();
  closers.delete(subject);
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof RequestError)) throw error;
    const close = showProblem(error.message);
    if (subject) closers.set(subject, close);
    return undefined;
  }
}
