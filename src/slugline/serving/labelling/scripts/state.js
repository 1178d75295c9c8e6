// State of the page: the current text, the next ones, and the latest replies of the server.

const state = {
  topics: [], // of the codebook
  codebookVersion: null,
  merged: [],
  isMultilabel: false,
  content: "texts", // or "suggestions" of a model, or "suspects" of an audit
  maySettle: false,
  current: null, // the text on the screen
  queue: [], // texts that come next
  chosen: new Set(), // topics of the current text, by name
  recent: [], // the latest decisions: {decision, excerpt, isSaved}
  progress: null,
  hasMore: false, // whether there are earlier decisions than these
  isAtEnd: false,
};
