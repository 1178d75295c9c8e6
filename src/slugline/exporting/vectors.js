// Sum the vectors of the words of a text and score the sum, like Python's `slugline.text.vector_sums`.

const ZERO = 8, MAX_PART = 100;
const APOSTROPHE = 0x27, DIGITS = [0x30, 0x39];

/** Return the word-vector head of a model, or null. */
function loadHead(facts, arrays) {
  if (!facts) return null;
  const { scale, weights: values, biases, ...curves } = arraysOf(arrays, "head");
  const weights = Float32Array.from(values, (value, i) => value * scale[i % scale.length]);
  return {
    ...facts, weights, biases, nColumns: weights.length / biases.length,
    calibration: { ...facts.calibration, ...curves },
    table: { ...facts.vectors, ...arraysOf(arrays, "vectors"), ...wordIndex(arrays["vectors.words"]) },
  };
}

/** Return the arrays whose names begin with a prefix and a point, by the rest of their names. */
function arraysOf(arrays, prefix) {
  const entries = Object.entries(arrays).filter(([name]) => name.startsWith(`${prefix}.`));
  return Object.fromEntries(entries.map(([name, array]) => [name.slice(prefix.length + 1), array]));
}

/**
 * Return the row of each word, the maximum word length, and the maximum by first character.
 */
function wordIndex(bytes) {
  const words = new TextDecoder().decode(bytes).split("\n").filter((word) => word);
  const rowOf = new Map(), longestFrom = new Map();
  let longest = 0;
  words.forEach((word, row) => {
    const first = word.codePointAt(0), length = [...word].length;
    rowOf.set(word, row);
    longestFrom.set(first, Math.max(length, longestFrom.get(first) ?? 0));
    longest = Math.max(longest, length);
  });
  return { rowOf, longest, longestFrom };
}

/** Return the row of the word from `start` up to but not including `end`, or -1. */
function findRow({ rowOf, longest }, points, start, end) {
  return end - start > longest ? -1 : rowOf.get(String.fromCodePoint(...points.slice(start, end))) ?? -1;
}

/**
 * Return the rows of a text's words, or of the parts and pieces of words without a row, and the known
 * fraction of the text.
 *
 * Each row has the `start` and `end` of the span of the reading's points to which it is attributed.
 */
function findVectors(table, reading, classes) {
  const { points, starts, ends } = reading, found = [];
  let nKnown = 0, nCounted = 0;
  starts.forEach((start, word) => {
    const end = ends[word], isUnspaced = isUnspacedWord(reading, word, classes);
    const nLetters = points.slice(start, end).filter((point) => point !== APOSTROPHE).length;
    const row = findRow(table, points, start, end);
    if (row >= 0) {
      found.push({ row, start, end });
      nKnown += nLetters;
      nCounted += nLetters;
      return;
    }
    if (!isNumber(points, start, end)) nCounted += nLetters;
    for (const part of partsOf(points, start, end)) {
      const partRow = findRow(table, points, part.start, part.end);
      const pieces = partRow < 0 ? piecesOfPart(table, points, part, isUnspaced) : [{ row: partRow, ...part }];
      for (const piece of pieces) {
        found.push(isUnspaced ? piece : { row: piece.row, start, end });
        // Pieces of spaced words don't make the word known.
        if (isUnspaced || partRow >= 0) nKnown += piece.end - piece.start;
      }
    }
  });
  return { found, known: round(nKnown / Math.max(nCounted, 1)) };
}

/** True if a word has only ASCII digits. */
function isNumber(points, start, end) {
  for (let i = start; i < end; i++) if (points[i] < DIGITS[0] || points[i] > DIGITS[1]) return false;
  return true;
}

/** Return the parts of a word between apostrophes. */
function partsOf(points, start, end) {
  const parts = [];
  for (let first = start; first < end; first++) {
    let last = first;
    while (last < end && points[last] !== APOSTROPHE) last++;
    if (last > first) parts.push({ start: first, end: last });
    first = last;
  }
  return parts;
}

/** Split part of a word into words of the table: longest match from the left. */
function piecesOfPart(table, points, { start, end }, isUnspaced) {
  const shortest = isUnspaced ? table.shortestUnspacedPiece : table.shortestPiece, pieces = [];
  const last = isUnspaced ? end : Math.min(end, start + MAX_PART);
  let first = start;
  while (first < last) {
    let length = Math.min(table.longestPiece, table.longestFrom.get(points[first]) ?? 0, last - first), row = -1;
    for (; length >= shortest; length--) {
      row = findRow(table, points, first, first + length);
      if (row >= 0) break;
    }
    if (row >= 0) pieces.push({ row, start: first, end: first + length });
    first += row >= 0 ? length : 1;
  }
  return pieces;
}

/** Call `use(column, number)` for each column of a row. */
function eachNumber({ rows, factors }, nColumns, row, use) {
  const half = nColumns / 2, factor = factors[row];
  for (let i = 0; i < half; i++) {
    const byte = rows[row * half + i];
    use(i, ((byte & 15) - ZERO) * factor);
    use(half + i, ((byte >> 4) - ZERO) * factor);
  }
}

/** Return the vectors of a text and their sum scaled to length 1, or null if too few words are known. */
function vectorsOf({ table, nColumns }, reading, classes) {
  const { found, known } = findVectors(table, reading, classes);
  if (known < round(table.minKnownFraction)) return null;
  const counts = new Map(), sums = new Float64Array(nColumns);
  for (const { row } of found) counts.set(row, (counts.get(row) ?? 0) + 1);
  for (const [row, n] of counts) eachNumber(table, nColumns, row, (i, number) => { sums[i] += n * number; });
  const sum = Float32Array.from(sums, (each) => each * table.scale);
  const length = Math.sqrt(sum.reduce((squares, each) => squares + each * each, 0));
  return length ? { found, length, values: sum.map((each) => each / length) } : null;
}

/** Add the word-vector scores to the word scores. */
function addScores({ sparseFactor, weights, biases }, scores, values) {
  return scores.map((score, topic) => {
    let sum = biases[topic];
    values.forEach((value, column) => { sum += value * weights[column * biases.length + topic]; });
    return sparseFactor * score + sum;
  });
}

/** Call `use(vector, attribution)` for each vector of a text and its part of a topic's score. */
function attributeToVectors({ table, nColumns, weights, biases }, { found, length }, topic, use) {
  const attributions = new Map();
  for (const vector of found) {
    if (!attributions.has(vector.row)) {
      let sum = 0;
      eachNumber(table, nColumns, vector.row, (i, number) => { sum += number * weights[i * biases.length + topic]; });
      attributions.set(vector.row, (sum * table.scale) / length);
    }
    use(vector, attributions.get(vector.row));
  }
}
