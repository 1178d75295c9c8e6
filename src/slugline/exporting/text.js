"use strict";
// Convert texts to terms, with the characters, words and hashes of Python's `slugline.text`. Strings
// are arrays of code points; a lone surrogate counts as a character.

const N_LEAD = 48, UNSPACED_NGRAM_LENGTHS = [1, 2, 3, 4], LONGEST_WORD = 100;
const NGRAM_LENGTHS = { characters: 4, "characters-2": 2, "characters-3": 3, "characters-5": 5 };
const MAX_MARKS = 30, SHORT_TEXT = 1000;
const SPACE = 0x20;
const CLASS = { word: 0, unspaced: 1, separator: 2, apostrophe: 3 };
// Characters below this are not marks, and don't change in normal form C.
const FIRST_MARK = 0x300, HIGHEST_MARK = 0x345;

// Characters ---------------------------------------------------------------------------------------

/** Return integers from their differences. */
function cumulativeSum(steps) {
  let sum = 0;
  return Float64Array.from(steps, (step) => (sum += step));
}

function codePoints(text) {
  const points = new Uint32Array(text.length);
  let n = 0;
  for (let i = 0; i < text.length; i += points[n++] > 0xffff ? 2 : 1) points[n] = text.codePointAt(i);
  return points.subarray(0, n);
}

function textOf(points) {
  let text = "";
  for (const point of points) text += String.fromCodePoint(point);
  return text;
}

/** Return a text in lower case, and the origin of each character in `points`. */
function lowercase(text, points) {
  const origins = [];
  points.forEach((point, i) => {
    const n = point < 0x80 ? 1 : codePoints(String.fromCodePoint(point).toLowerCase()).length;
    for (let k = 0; k < n; k++) origins.push(i);
  });
  return { points: Array.from(codePoints(text.toLowerCase())), origins };
}

/** Return a text in normal form C, unless it has implausibly many marks in a row. */
function normalize(lower) {
  return lower.length > SHORT_TEXT && longestMarkRun(lower) > MAX_MARKS ? lower : normalFormC(lower);
}

/** True if a character has a combining class: normal forms sort it before U+0345, the highest class. */
function isMark(point) {
  if (point < FIRST_MARK || point === HIGHEST_MARK) return point === HIGHEST_MARK;
  return textOf([HIGHEST_MARK, point]).normalize("NFD").codePointAt(0) !== HIGHEST_MARK;
}

function longestMarkRun(points) {
  let most = 0, n = 0;
  for (const point of points) {
    n = isMark(point) ? n + 1 : 0;
    most = Math.max(most, n);
  }
  return most;
}

function normalFormC(points) {
  if (points.every((point) => point < FIRST_MARK)) return points;
  return Array.from(codePoints(textOf(points).normalize("NFC")));
}

// Words --------------------------------------------------------------------------------------------

/**
 * Read a text.
 *
 * `points` is the text in lower case, with separators as spaces, and spaces around runs of unspaced
 * scripts. `bytes` is its UTF-8; character i starts at `at[i]`. Word i spans `starts[i]` up to but
 * not including `ends[i]`, in points. Point i was character `froms[i]` of `read`, the text in lower
 * case and normal form C.
 */
function readText(text, classes) {
  const given = codePoints(text);
  const low = lowercase(text, given);
  const read = given.every((point) => point < 0x80) ? low.points : normalize(low.points);
  const points = [SPACE], froms = [-1];
  let isUnspaced = false;
  const push = (point, from) => { points.push(point); froms.push(from); };
  read.forEach((point, i) => {
    const charClass = classes[point < 0x10000 ? point : 0x10000 + (point >> 16)];
    if ((charClass === CLASS.unspaced) !== isUnspaced) {
      push(SPACE, -1);
      isUnspaced = !isUnspaced;
    }
    if (charClass === CLASS.separator) push(SPACE, i);
    else push(charClass === CLASS.apostrophe ? 0x27 : point, i);
  });
  push(SPACE, -1);
  return { given, low, read, points, froms, ...wordsIn(points), ...encode(points) };
}

function wordsIn(points) {
  const starts = [], ends = [];
  for (let i = 1; i < points.length; i++) {
    if (points[i - 1] === SPACE && points[i] !== SPACE) starts.push(i);
    if (points[i - 1] !== SPACE && points[i] === SPACE) ends.push(i);
  }
  return { starts, ends };
}

function encode(points) {
  const bytes = new Uint8Array(4 * points.length), at = new Uint32Array(points.length + 1);
  let n = 0;
  points.forEach((point, i) => {
    at[i] = n;
    if (point < 0x80) bytes[n++] = point;
    else if (point < 0x800) bytes[n++] = 0xc0 | (point >> 6);
    else if (point < 0x10000) bytes[n++] = 0xe0 | (point >> 12);
    else bytes[n++] = 0xf0 | (point >> 18);
    if (point >= 0x10000) bytes[n++] = 0x80 | ((point >> 12) & 0x3f);
    if (point >= 0x800) bytes[n++] = 0x80 | ((point >> 6) & 0x3f);
    if (point >= 0x80) bytes[n++] = 0x80 | (point & 0x3f);
  });
  at[points.length] = n;
  return { bytes, at };
}

function isUnspacedWord(reading, word, classes) {
  const point = reading.points[reading.starts[word]];
  return classes[point < 0x10000 ? point : 0x10000 + (point >> 16)] === CLASS.unspaced;
}

// Hashes -------------------------------------------------------------------------------------------

// Halves of a 64-bit number: BigInt is slow.
const hash = { low: 0, high: 0 };

/** Return the upper half of a product of two 32-bit numbers. */
function upperHalf(a, b) {
  const a0 = a & 0xffff, a1 = a >>> 16, b0 = b & 0xffff, b1 = b >>> 16;
  const middle = a1 * b0 + ((a0 * b0) >>> 16);
  return (a1 * b1 + (middle >>> 16) + (((middle & 0xffff) + a0 * b1) / 0x10000)) | 0;
}

function times(low, high) {
  const upper = upperHalf(hash.low, low) + Math.imul(hash.low, high) + Math.imul(hash.high, low);
  hash.low = Math.imul(hash.low, low);
  hash.high = upper | 0;
}

function shiftIn(bits) {
  hash.low ^= (hash.low >>> bits) | (hash.high << (32 - bits));
  hash.high ^= hash.high >>> bits;
}

/** Scramble bits with splitmix64's finaliser (Steele et al., 2014). */
function mix() {
  shiftIn(30);
  times(0x1ce4e5b9, 0xbf58476d);
  shiftIn(27);
  times(0x133111eb, 0x94d049bb);
  shiftIn(31);
}

function neverZero() {
  if (!hash.low && !hash.high) hash.low = 1;
}

/** Hash 8 bytes per round; pad the last round with a byte that never occurs in UTF-8. */
function hashBytes(bytes, start, end) {
  hash.low = hash.high = 0;
  for (let first = start; first < end; first += 8) {
    const n = Math.min(8, end - first);
    for (let i = 0; i < n; i++) flip(i, bytes[first + i]);
    if (n < 8) flip(n, 0xff);
    mix();
  }
  neverZero();
}

function flip(place, byte) {
  if (place < 4) hash.low ^= byte << (8 * place);
  else hash.high ^= byte << (8 * (place - 4));
}

function hashPair(lows, highs, first) {
  hash.low = lows[first];
  hash.high = highs[first];
  times(0x7f4a7c15, 0x9e3779b9);
  const sum = (hash.low >>> 0) + (lows[first + 1] >>> 0);
  hash.high = (hash.high + highs[first + 1] + (sum > 0xffffffff ? 1 : 0)) | 0;
  hash.low = sum | 0;
  mix();
  neverZero();
}

// Terms --------------------------------------------------------------------------------------------

/**
 * Call `found(start, end, word, isPhrase)` for each term of a kind, with its hash in `hash`.
 *
 * `start` and `end` are points of the reading. `isPhrase` is false for words and their parts.
 */
function eachTerm(kind, reading, classes, found) {
  const { starts, ends, bytes, at } = reading;
  if (kind === "bigrams") {
    eachPair(reading, found);
  } else if (kind in NGRAM_LENGTHS) {
    starts.forEach((_, word) => eachNgram(kind, reading, word, classes, found));
  } else {
    const n = kind === "lead" ? Math.min(N_LEAD, starts.length) : starts.length;
    for (let word = 0; word < n; word++) {
      hashBytes(bytes, at[starts[word]], at[ends[word]]);
      found(starts[word], ends[word], word, false);
    }
  }
}

function eachPair({ starts, ends, bytes, at }, found) {
  const lows = new Int32Array(starts.length), highs = new Int32Array(starts.length);
  for (let word = 0; word < starts.length; word++) {
    hashBytes(bytes, at[starts[word]], at[ends[word]]);
    lows[word] = hash.low;
    highs[word] = hash.high;
  }
  for (let word = 0; word + 1 < starts.length; word++) {
    hashPair(lows, highs, word);
    found(starts[word], ends[word + 1], word, true);
  }
}

function eachNgram(kind, reading, word, classes, found) {
  const { bytes, at } = reading, start = reading.starts[word], length = reading.ends[word] - start;
  const run = (first, size, isPhrase) => {
    hashBytes(bytes, at[first], at[first + size]);
    found(first, first + size, word, isPhrase);
  };
  if (isUnspacedWord(reading, word, classes)) {
    for (const size of kind === "characters" ? UNSPACED_NGRAM_LENGTHS : []) {
      for (let first = 0; first + size <= length; first++) run(start + first, size, true);
    }
  } else { // includes the spaces on either side
    const size = NGRAM_LENGTHS[kind], n = Math.min(length, LONGEST_WORD) + 2 - size + 1;
    for (let first = 0; first < n; first++) run(start - 1 + first, size, false);
  }
}
