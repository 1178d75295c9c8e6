// Create and find elements; format values.
"use strict";

const find = (selector, within = document) => within.querySelector(selector);
const findAll = (selector, within = document) => [...within.querySelectorAll(selector)];

// Create an element. Properties starting with "on" are event listeners.
function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name in element && !name.includes("-")) element[name] = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

// Return a button that submits no form.
const button = (onclick, ...children) => make("button", { type: "button", onclick }, ...children);
const bold = (name) => make("b", {}, make("bdi", {}, name));
const soft = (...words) => make("p", { className: "soft" }, ...words);

// Maximum length of a topic name on the page.
const TOPIC_LENGTH = 100;

const shorten = (text, n) => {
  const words = text.slice(0, 4 * n).split(/\s+/).join(" ").trim();
  return words.length > n ? `${words.slice(0, n)} …` : words;
};

const named = (decision) => (decision.kind === "skip" ? skipName(decision.reason)
  : topicNames(decision.topics));

// "none of these" removes a suspect from the data.
const skipName = (reason) => (state.content === "suspects" && reason === "none of these"
  ? "removed" : `skipped: ${reason}`);

const listed = (topics) => topics.map((topic) => shorten(topic, TOPIC_LENGTH)).join(", ");
const topicNames = (topics) => listed(topics) || "no topic";

// Format a time like 2026-01-31 09:15, as Swedish does.
const localTime = (at) => new Date(at).toLocaleString("sv-SE", { dateStyle: "short", timeStyle: "short" });

const number = (n) => n.toLocaleString("en-US");
const counted = (n, noun) => `${number(n)} ${noun}${n === 1 ? "" : "s"}`;
const percent = (fraction) => `${Math.round(100 * fraction)}\u00a0%`;
