// Ranks pages by how much the words of a question tell of them. Sphinx's own search lists only pages
// that hold every word, which no page does for a question in a sentence. Questions in German find
// pages by their German titles (GERMAN_TITLES) and keywords.
"use strict";

const IN_TITLE = 4; // a word in a title counts as much as this many in the text
const LIKE_TITLE = 12; // a question that is a title, beside the words of both
const STOP_WORD = 0.3; // the weight of a stop word in a title, beside 1 for others
// Words that say nothing in German, without those that are English words as well.
const GERMAN_STOP_WORDS = new Set(
  `aber als am an auch auf aus bei bin bis da damit dann das dass dem den denn der des die dies diese dieser dieses du
   durch ein eine einem einen einer eines er es für hat haben habe hatte hatten ich ihr ihre im in ist ja kann kein
   können man mein meine meinem meinen meiner mich mir mit nach nicht noch nun nur ob oder ohne sein seine sich sie
   sind so soll sollen sollte sollten über um und uns unser unsere vom von vor wann war was welche welcher welches wenn
   wer werden wie wieder wir wird wo würde zu zum zur`.split(/\s+/),
);

let question = ""; // the one that is being asked

/** Return the words of a text, all of them and in lower case. */
function wordsOf(text) {
  return text.toLowerCase().match(/[\p{Letter}\p{Number}_]+/gu) ?? [];
}

/** Return whether two words are forms of one: they begin alike, and their ends are short. */
function areForms(first, second) {
  const shorter = Math.min(first.length, second.length);
  if (Math.max(first.length, second.length) - shorter > 3) return false;
  let n = 0;
  while (n < shorter && first[n] === second[n]) n += 1;
  return n >= Math.max(4, shorter - 2);
}

/** Return the inverse frequencies of pages and words, once for an index. */
function measure(index) {
  const pages = index.docnames.length;
  const lengths = new Array(pages).fill(0);
  for (const files of Object.values(index.terms))
    for (const file of [files].flat()) lengths[file] += 1;
  const mean = lengths.reduce((sum, n) => sum + n, 0) / pages;
  return { pages, brevity: lengths.map((n) => 1 / Math.sqrt(0.4 + (0.6 * n) / mean)) };
}

/** Return the pages of a word; of its other forms, and of words that it begins, if it has none. */
function lookUp(table, word) {
  if (Object.hasOwn(table, word)) return [table[word]].flat();
  if (word.length < 4) return [];
  const longer = Object.keys(table).filter((term) => term.startsWith(word) || areForms(term, word));
  return [...new Set(longer.flatMap((term) => table[term]))];
}

/** Return how much of a question and a title stands in both in the same order, from 0 to 1. */
function likeness(asked, title) {
  const weight = (word) => (stopwords.has(word) || GERMAN_STOP_WORDS.has(word) ? STOP_WORD : 1);
  const total = (words) => words.reduce((sum, word) => sum + weight(word), 0);
  // The heaviest common subsequence, row by row.
  let row = new Array(title.length + 1).fill(0);
  for (const word of asked) {
    const next = [0];
    title.forEach((other, n) => {
      const both = word === other || areForms(word, other) ? row[n] + weight(word) : 0;
      next.push(Math.max(both, row[n + 1], next[n]));
    });
    row = next;
  }
  const common = row[title.length];
  // More of the question than of the title: a few words may stand for a long one.
  return common ? common / (0.75 * total(asked) + 0.25 * total(title)) : 0;
}

function searchTerms(words, excluded) {
  const index = Search._index;
  const { pages, brevity } = measure(index);
  const scores = new Map();
  const add = (file, score) => scores.set(file, (scores.get(file) ?? 0) + score);
  for (const word of words) {
    if (GERMAN_STOP_WORDS.has(word)) continue;
    const inText = lookUp(index.terms, word), inTitle = lookUp(index.titleterms, word);
    const n = new Set([...inText, ...inTitle]).size;
    const rarity = Math.log(1 + pages / (1 + n));
    inText.forEach((file) => add(file, rarity * brevity[file]));
    inTitle.forEach((file) => add(file, IN_TITLE * rarity));
  }
  const asked = wordsOf(question);
  index.docnames.forEach((name, file) => {
    const titles = [index.titles[file], GERMAN_TITLES[name] ?? ""];
    const like = Math.max(...titles.map((title) => likeness(asked, wordsOf(title))));
    if (like > 0.3) add(file, LIKE_TITLE * like * like);
  });
  for (const word of excluded)
    for (const file of [...lookUp(index.terms, word), ...lookUp(index.titleterms, word)])
      scores.delete(file);
  const best = Math.max(...scores.values());
  return [...scores]
    .filter(([, score]) => score > best / 5)
    .map(([file, score]) => [
      index.docnames[file], index.titles[file], "", null, 10 * score, index.filenames[file],
      SearchResultKind.text,
    ]);
}

document.addEventListener("DOMContentLoaded", () => {
  const parse = Search._parseQuery;
  Search._parseQuery = (query) => parse((question = query));
  Search.performTermsSearch = searchTerms;
});
