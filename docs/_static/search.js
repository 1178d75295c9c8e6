// Ranks pages by how much the words of a question tell of them. Sphinx's own search lists only pages
// that hold every word, which no page does for a question in a sentence.
"use strict";

const IN_TITLE = 4; // a word in a title counts as much as this many in the text

/** Return the inverse frequencies of pages and words, once for an index. */
function measure(index) {
  const pages = index.docnames.length;
  const lengths = new Array(pages).fill(0);
  for (const files of Object.values(index.terms))
    for (const file of [files].flat()) lengths[file] += 1;
  const mean = lengths.reduce((sum, n) => sum + n, 0) / pages;
  return { pages, brevity: lengths.map((n) => 1 / Math.sqrt(0.4 + (0.6 * n) / mean)) };
}

/** Return the pages of a word: those of words that it begins where the index doesn't have it. */
function lookUp(table, word) {
  if (Object.hasOwn(table, word)) return [table[word]].flat();
  if (word.length < 4) return [];
  const longer = Object.keys(table).filter((term) => term.startsWith(word));
  return [...new Set(longer.flatMap((term) => table[term]))];
}

function searchTerms(words, excluded) {
  const index = Search._index;
  const { pages, brevity } = measure(index);
  const scores = new Map();
  const add = (file, score) => scores.set(file, (scores.get(file) ?? 0) + score);
  for (const word of words) {
    const inText = lookUp(index.terms, word), inTitle = lookUp(index.titleterms, word);
    const n = new Set([...inText, ...inTitle]).size;
    const rarity = Math.log(1 + pages / (1 + n));
    inText.forEach((file) => add(file, rarity * brevity[file]));
    inTitle.forEach((file) => add(file, IN_TITLE * rarity));
  }
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

document.addEventListener("DOMContentLoaded", () => (Search.performTermsSearch = searchTerms));
