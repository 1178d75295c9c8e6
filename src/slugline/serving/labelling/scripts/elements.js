// Elements of the page, and values as words.
"use strict";

const find = (selector, within = document) => within.querySelector(selector);
const findAll = (selector, within = document) => [...within.querySelectorAll(selector)];

// Create an element; properties that begin with "on" are listeners.
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

// Maximum length of a topic's name on the page.
const TOPIC_LENGTH = 100;

const shorten = (text, n) => {
  const words = text.slice(0, 4 * n).split(/\s+/).join(" ").trim();
  return words.length > n ? `${words.slice(0, n)} …` : words;
};

const named = (decision) => (decision.kind === "skip" ? skipName(decision.reason)
  : listed(decision.topics) || "no topic");

// Of a suspect, "none of these" means that it is removed from the data.
const skipName = (reason) => (state.content === "suspects" && reason === "none of these"
  ? "removed" : `skipped: ${reason}`);

const listed = (topics) => topics.map((topic) => shorten(topic, TOPIC_LENGTH)).join(", ");

// Return a time such as 2026-01-31 09:15, the Swedish format.
function localTime(at) {
  const when = new Date(at);
  return Number.isNaN(when.getTime()) ? at
    : when.toLocaleString("sv-SE", { dateStyle: "short", timeStyle: "short" });
}

const number = (n) => n.toLocaleString("en-US");
const counted = (n, noun) => `${number(n)} ${noun}${n === 1 ? "" : "s"}`;
const percent = (fraction) => `${Math.round(100 * fraction)}\u00a0%`;
