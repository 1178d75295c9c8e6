// State of the page.

const state = {
  topics: [], // from the codebook
  codebookVersion: null,
  merged: [],
  isMultilabel: false,
  content: "texts", // or "suggestions" from a model, or "suspects" from an audit
  maySettle: false,
  current: null, // the text on the screen
  queue: [], // next texts
  chosen: new Set(), // topics of the current text, by name
  recent: [], // the latest decisions: {decision, excerpt, isSaved}
  progress: null,
  hasMore: false, // the server has earlier decisions
  isAtEnd: false,
};
