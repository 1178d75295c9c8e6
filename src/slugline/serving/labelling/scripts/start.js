// Load the state from the server.

function showKeys() {
  for (const button of findAll("[data-skip]")) {
    button.append(" ", make("kbd", {}, SKIP_KEYS[button.dataset.skip]));
  }
  find("#keys").append(...KEYS.map(([key, use]) => make(
    "div", {}, make("dt", {}, make("kbd", {}, key)), make("dd", {}, use),
  )));
  try {
    find("#uses-keys").checked = localStorage.getItem("slugline-keys") !== "no";
  } catch { /* storage is disabled */ }
}

async function connect() {
  let reply;
  try {
    reply = await call("/v1/state");
  } catch (error) {
    if (!(error instanceof RequestError)) throw error;
    show(null, error.message);
    setTimeout(connect, 3000);
    return;
  }
  state.isMultilabel = reply.is_multilabel;
  state.content = reply.content;
  state.maySettle = reply.may_settle;
  find("#source").textContent = reply.source;
  find("#question").textContent = reply.is_multilabel ? "Which topics?" : "Which topic?";
  showContent();
  openOutbox(reply.outbox_key);
  takeCodebook(reply.codebook);
  takeProgress(reply.progress);
  sendOutbox();
  keepFilled();
  await whenSaved();
  await refreshRecent();
  find("#recent").ariaBusy = "false";
}

showKeys();
connect();
