// Apply a linear model: terms, row, scores, probabilities, answer and attributions.
// Python calculates in float32; `round` reproduces each step.

const round = Math.fround;
const LARGEST_SCORE = round(1e38), MANY_UNKNOWN = 0.25, ROUNDED = 1e-6;
const LEAST_PROBABILITY = 2 ** -126, LEAST_COMPLEMENT = 2 ** -20;
// Fractions of the largest attribution: minimum for a mark, and largest rounding error of a sum.
const MIN_STRENGTH = 0.1, ROUNDED_SUM = 1e-9;

// Contents of the page -----------------------------------------------------------------------------

/** Return arrays by name, from base64 of their deflated bytes. */
async function unpack(data, list) {
  const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate-raw"));
  const all = await new Response(stream).arrayBuffer();
  const arrays = {};
  let at = 0;
  for (const [name, kind, length] of list) {
    const part = all.slice(at, at + length);
    if (kind === "varints") arrays[name] = varints(new Uint8Array(part));
    else arrays[name] = new { float32: Float32Array, int8: Int8Array, uint8: Uint8Array }[kind](part);
    at += length;
  }
  return arrays;
}

/** Decode varints: 7 bits per byte, lowest first. */
function varints(bytes) {
  const found = new Uint32Array(bytes.length);
  let n = 0, shift = 0;
  for (const byte of bytes) {
    found[n] |= (byte & 0x7f) << shift;
    shift += 7;
    if (byte < 0x80) {
      n++;
      shift = 0;
    }
  }
  return found.slice(0, n);
}

async function loadModel(facts, data) {
  const arrays = await unpack(data, facts.arrays);
  let first = 0;
  const groups = facts.featureGroups.map((group, number) => {
    const made = { ...group, first, find: knownColumns(arrays, group, number), idf: idfOf(arrays, number) };
    first += group.width;
    return made;
  });
  const weights = Float32Array.from(arrays.values, (value, i) => value * arrays.scale[arrays.topics[i]]);
  const bounds = new Uint32Array(first + 1);
  for (let column = 0; column < first; column++) bounds[column + 1] = bounds[column] + arrays.counts[column];
  const { topics: topicOf, biases, thresholds, slopes, intercepts, bend } = arrays;
  const calibration = { ...facts.calibration, slopes, intercepts, bend };
  const { classes } = arrays, head = loadHead(facts.head, arrays);
  return { ...facts, groups, weights, bounds, topicOf, biases, thresholds, calibration, classes, head };
}

function idfOf(arrays, number) {
  const distinct = arrays[`idf.${number}`];
  return distinct && Float32Array.from(arrays[`idfOf.${number}`], (which) => distinct[which]);
}

/** Return a function that finds the column of the term in `hash`, or -1 if unknown. */
function knownColumns(arrays, group, number) {
  const mask = group.nBuckets === null ? -1 : group.nBuckets - 1, upper = group.nBuckets === null ? -1 : 0;
  const [lows, highs] = keysOf(arrays, number);
  const n = lows.length, bits = Math.max(4, 32 - Math.clz32(2 * n)), slots = new Int32Array(1 << bits);
  const slotOf = (low, high) => Math.imul(low ^ high, 0x9e3779b1) >>> (32 - bits);
  const next = (slot) => (slot + 1) & (slots.length - 1);
  for (let column = 0; column < n; column++) {
    let slot = slotOf(lows[column], highs[column]);
    while (slots[slot]) slot = next(slot);
    slots[slot] = column + 1; // 0 is an empty slot
  }
  return () => {
    const low = hash.low & mask, high = hash.high & upper;
    for (let slot = slotOf(low, high); slots[slot]; slot = next(slot)) {
      const column = slots[slot] - 1;
      if (lows[column] === low && highs[column] === high) return column;
    }
    return -1;
  };
}

/** Return the lower and upper halves of the keys of columns; the upper half of a bucket is 0. */
function keysOf(arrays, number) {
  const buckets = arrays[`keys.${number}`];
  if (buckets) {
    const lows = Int32Array.from(cumulativeSum(buckets));
    return [lows, new Int32Array(lows.length)];
  }
  const lows = new Int32Array(arrays[`keysLow.${number}`].buffer);
  return [lows, Int32Array.from(cumulativeSum(arrays[`keysHigh.${number}`]), (high) => high | 0)];
}

// Texts to rows ------------------------------------------------------------------------------------

const NUMBER = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i, DATE = /^(\d{4})-(\d\d)-(\d\d)(?:T(\d\d):(\d\d))?/;

// Numbers with a decimal comma, and numbers whose comma may separate thousands.
const COMMA = /^[+-]?(\d+|\d{1,3}(\.\d{3})+),\d+$/, THOUSANDS = /^[+-]?[1-9]\d{0,2},\d{3}$/;

/** Replace an unambiguous decimal comma by a point. */
function withPoint(value) {
  return COMMA.test(value) && !THOUSANDS.test(value) ? value.replaceAll(".", "").replace(",", ".") : value;
}

/** Return the terms of a cell in an additional column, like `TableColumn.terms`. */
function cellTerms({ label, kind, bins, binNames }, cell, { missing, longest, weekdays, months }) {
  const value = (cell ?? "").trim().split(/\s+/).join(" "), date = DATE.exec(value);
  let found = [];
  if (kind === "number" && NUMBER.test(withPoint(value))) {
    found = [binNames[bins.filter((bound) => bound <= Number(withPoint(value))).length]];
  } else if (kind === "date" && date) {
    const [year, month, day, hour, minute] = date.slice(1).map((digits) => Number(digits ?? 0));
    found = [weekdays[(new Date(Date.UTC(year, month - 1, day)).getUTCDay() + 6) % 7], months[month - 1]];
    if (hour || minute) found.push(`${hour} h`);
  } else if (kind === "words" && value) {
    const points = [...value];
    found = [points.length > longest ? `${points.slice(0, longest - 1).join("")}…` : value];
  }
  return (found.length ? found : [missing]).map((part) => `${label}=${part}`);
}

/** Return the known terms of additional columns. */
function countCells(group, { columns, ...facts }, cells) {
  const counts = new Map();
  columns.forEach((column, i) => {
    for (const term of cellTerms(column, cells[i], facts)) {
      const bytes = new TextEncoder().encode(term);
      hashBytes(bytes, 0, bytes.length);
      const found = group.find();
      if (found >= 0) counts.set(found, 1);
    }
  });
  return counts;
}

/**
 * Return the values and places of a text's known terms by feature group, and its word vectors, or
 * null if words alone answer it.
 */
function rowOf(model, text, cells) {
  const reading = readText(text, model.classes);
  const groups = model.groups.map((group) => {
    if (group.kind === "columns") {
      const counts = model.cells ? countCells(group, model.cells, cells) : new Map();
      return { group, places: [], counts, values: weigh(model, group, counts) };
    }
    const places = [], counts = new Map();
    eachTerm(group.kind, reading, model.classes, (start, end, word, isPhrase) => {
      const column = group.find();
      if (column < 0) return;
      places.push({ column, start, end, word, isPhrase });
      counts.set(column, (counts.get(column) ?? 0) + 1);
    });
    return { group, places, counts, values: weigh(model, group, counts) };
  });
  scale(model, groups);
  return { reading, groups, vectors: model.head && vectorsOf(model.head, reading, model.classes) };
}

/** Return the weight of each term, before the row is scaled. */
function weigh(model, group, counts) {
  const values = new Map();
  for (const [column, count] of [...counts].sort((a, b) => a[0] - b[0])) {
    let value = group.weighting === "multi-hot" ? 1 : count;
    if (group.weighting === "log-tf-idf") value = round(round(Math.log(value)) + 1);
    if (group.idf) value = round(value * group.idf[column]);
    values.set(column, round(value * round(group.weight)));
  }
  return values;
}

/** Scale a row in place: feature groups with idf get a joint length of 1. */
function scale(model, groups) {
  const sums = groups.map(({ values }) => [...values.values()].reduce((sum, value) => sum + value * value, 0));
  const own = groups.map(({ group }) => group.hasIdf);
  const norm = Math.sqrt(sums.reduce((sum, each, i) => sum + (own[i] ? each : 0), 0));
  groups.forEach(({ group, values }) => {
    const factor = round(1 / (group.hasIdf && norm > 0 ? norm : 1));
    for (const [column, value] of values) values.set(column, round(value * factor));
  });
}

// Rows to answers ----------------------------------------------------------------------------------

/** Return the probabilities and order of topics, the assigned ones, and a reason if unsure. */
function classify(model, text, cells = []) {
  const row = rowOf(model, text, cells), scores = scoresOf(model, row);
  const probabilities = probabilitiesOf(row.vectors ? model.head.calibration : model.calibration, scores);
  const parents = model.multilabel?.parents ?? []; // [topic, its parent], parents first
  if (model.multilabel?.ends.length) makePathProbabilities(model.multilabel, probabilities);
  else for (const [topic, parent] of parents) probabilities[topic] = Math.min(probabilities[topic], probabilities[parent]);
  const order = [...probabilities.keys()].sort((a, b) => probabilities[b] - probabilities[a] || a - b);
  const chosen = chosenOf(model, probabilities, order), unsure = unsureOf(model, row, probabilities, order[0], chosen);
  const above = new Set(parents.filter(([topic]) => chosen.includes(topic)).map(([, parent]) => parent));
  return { text, row, scores, probabilities, order, given: unsure ? [] : chosen.filter((topic) => !above.has(topic)), unsure };
}

/** Return the topics that reach their thresholds, most likely first, or the best one if single-label. */
function chosenOf({ multilabel, hasPrecision, thresholds }, probabilities, order) {
  if (!multilabel) return order.slice(0, 1);
  if (multilabel.ends.length) return pathOf(multilabel, hasPrecision ? thresholds : null, probabilities, order);
  const chosen = order.filter((topic) => probabilities[topic] >= thresholds[topic]);
  return chosen.length || hasPrecision || !multilabel.atLeastOne ? chosen : order.slice(0, 1);
}

/** Make probabilities of topics consistent with one path, in place, like `MultilabelRule.consistent`. */
function makePathProbabilities({ parents, ends }, probabilities) {
  const atEnd = Float32Array.from(probabilities);
  for (const [topic, parent] of parents) atEnd[parent] *= round(1 - probabilities[topic]);
  const all = powers(Float32Array.from(ends, (topic) => logOdds(atEnd[topic])), 1), sum = total(all);
  probabilities.fill(0);
  ends.forEach((topic, i) => { probabilities[topic] = all[i] / sum; });
  for (const [topic, parent] of [...parents].reverse()) probabilities[parent] += probabilities[topic];
  probabilities.forEach((each, topic) => { probabilities[topic] = Math.min(each, 1); });
}

function logOdds(probability) {
  return round(Math.log(Math.max(probability, LEAST_PROBABILITY))) - round(Math.log(Math.max(round(1 - probability), LEAST_COMPLEMENT)));
}

/** Return the topics of the likeliest path, down to the first below its threshold if there are thresholds. */
function pathOf({ parents, ends }, thresholds, probabilities, order) {
  const parentOf = new Map(parents), chosen = new Set();
  if (thresholds) {
    const likeliestUnder = (parent) => order.find((topic) => parentOf.get(topic) === parent);
    let topic = likeliestUnder(undefined);
    for (; probabilities[topic] >= thresholds[topic]; topic = likeliestUnder(topic)) chosen.add(topic);
  } else {
    const atEnd = Float32Array.from(probabilities);
    for (const [topic, parent] of parents) atEnd[parent] -= probabilities[topic];
    let topic = ends.reduce((best, end) => (atEnd[end] > atEnd[best] ? end : best));
    for (; topic !== undefined; topic = parentOf.get(topic)) chosen.add(topic);
  }
  return order.filter((topic) => chosen.has(topic));
}

function scoresOf(model, { groups, vectors }) {
  const sums = new Float64Array(model.topics.length);
  for (const { group, values } of groups) {
    for (const [column, value] of values) {
      const from = model.bounds[group.first + column], to = model.bounds[group.first + column + 1];
      for (let i = from; i < to; i++) sums[model.topicOf[i]] += value * model.weights[i];
    }
  }
  const scores = Float32Array.from(sums, (sum, topic) => round(sum) + model.biases[topic]);
  return vectors ? addScores(model.head, scores, vectors.values) : scores;
}

function probabilitiesOf({ inverseTemperature, uniformWeight, highTemperatureWeight, slopes, intercepts, bend }, scores) {
  let found;
  if (slopes) {
    return scores.map((score, topic) => {
      const logit = round(round(score * slopes[topic]) + intercepts[topic]), [low, high, shift] = bend;
      return sigmoid(round(round(round(high * softplus(logit)) - round(low * softplus(-logit))) + shift));
    });
  }
  if (highTemperatureWeight) {
    const flat = powers(scores, round(inverseTemperature / 3)), sure = flat.map((power) => power ** 3);
    const inFlat = round(highTemperatureWeight) / total(flat), inSure = round(1 - highTemperatureWeight) / total(sure);
    found = sure.map((power, topic) => power * inSure + flat[topic] * inFlat);
  } else {
    const all = powers(scores, round(inverseTemperature)), sum = total(all);
    found = all.map((power) => power / sum);
  }
  return uniformWeight ? found.map((each) => each * round(1 - uniformWeight) + round(uniformWeight / scores.length)) : found;
}

/** Return log(1 + exp(score)). */
function softplus(score) {
  return round(Math.max(score, 0) + Math.log1p(Math.exp(-Math.abs(score))));
}

function sigmoid(score) {
  const power = round(Math.exp(-Math.abs(score)));
  return (score >= 0 ? 1 : power) / round(1 + power);
}

/** Return an unnormalised softmax with a maximum of 1. */
function powers(scores, factor) {
  const within = scores.map((score) => Math.max(-LARGEST_SCORE, Math.min(LARGEST_SCORE, score * factor)));
  const most = within.reduce((a, b) => Math.max(a, b));
  return within.map((score) => Math.exp(round(score - most)));
}

function total(values) {
  return values.reduce((sum, value) => sum + value, 0);
}

// Matches characters that Python doesn't count as white space.
const IN_TEXT = /[^\s\x1c-\x1f\x85]|\ufeff/;

/** Return why the model is unsure, like `Unsure` in `slugline.model.decider`, or null. */
function unsureOf(model, { reading, groups }, probabilities, best, chosen) {
  if (!IN_TEXT.test(textOf(reading.given))) return { kind: "no_text" };
  if (model.multilabel && chosen.length > model.multilabel.most) return { kind: "many_topics" };
  if (!model.hasPrecision) return null;
  const words = groups.find(({ group }) => group.kind === "words");
  const n = reading.starts.length, nUnknown = words ? n - words.places.length : 0;
  if (n === 0) return { kind: "no_words" };
  if (model.usualWords && isUnusual(model.usualWords, nUnknown, n)) {
    return { kind: "unknown_words", nUnknown, nWords: n };
  }
  const probability = probabilities[best], threshold = model.thresholds[best];
  if (model.multilabel ? chosen.length || isSurelyNone(model.multilabel, probabilities) : probability >= threshold) return null;
  return threshold === Infinity ? { kind: "no_threshold", probability } : { kind: "low_probability", probability, threshold };
}

/** True if a text surely has no topic, like `MultilabelRule.is_surely_none`. */
function isSurelyNone({ atLeastOne, precision }, probabilities) {
  return !atLeastOne && probabilities.reduce((none, probability) => none * (1 - probability), 1) >= precision;
}

/** Word the reason like `why_unsure` in Python. */
function whyUnsure({ kind, nUnknown, nWords, probability, threshold }) {
  if (kind === "no_text") return "There is no text.";
  if (kind === "no_words") return "The text has no words.";
  if (kind === "unknown_words") return `The model doesn’t know ${nUnknown} of the ${nWords} words.`;
  if (kind === "many_topics") return "Far more topics are likely than any training text had.";
  if (kind === "no_threshold") return "The best guess is a topic that the model is never sure enough of.";
  const digits = [0, 1, 2, 3, 4].find((n) => fixed(100 * probability, n) !== fixed(100 * threshold, n)) ?? 5;
  return `The best guess has ${fixed(100 * probability, digits)}\u00a0%, but the model requires ${
    fixed(100 * threshold, digits)}\u00a0%.`;
}

function isUnusual({ rate, maxExcess }, nUnknown, n) {
  const excess = (nUnknown - n * rate) / Math.sqrt(n * rate * (1 - rate));
  return nUnknown >= MANY_UNKNOWN * n && excess > maxExcess + ROUNDED;
}

/** Format a number like Python, rounding halves to even. */
function fixed(value, digits) {
  const scaled = value * 10 ** digits;
  const isHalf = scaled % 1 === 0.5 && Math.floor(scaled) % 2 === 0;
  return isHalf ? (Math.floor(scaled) / 10 ** digits).toFixed(digits) : value.toFixed(digits);
}

// Attributions of words ----------------------------------------------------------------------------

/**
 * Return the attributions of words and phrases to the score of a topic.
 *
 * `start` and `end` are points of the reading. Spans that end after point `until` are omitted.
 */
function attributionsOf(model, { groups, reading, vectors }, topic, until = Infinity) {
  const found = new Map(), width = reading.points.length + 1, factor = vectors ? model.head.sparseFactor : 1;
  const add = (start, end, attribution) => {
    const key = start * width + end;
    if (end <= until) found.set(key, (found.get(key) ?? 0) + attribution);
  };
  for (const { group, places, counts, values } of groups) {
    const each = new Map();
    for (const [column, value] of values) {
      const attribution = (factor * value * weightOf(model, group.first + column, topic)) / counts.get(column);
      if (attribution) each.set(column, attribution);
    }
    for (const { column, start, end, word, isPhrase } of places) {
      const attribution = each.get(column);
      if (attribution === undefined) continue;
      // The attribution of a character n-gram belongs to its word.
      if (isPhrase) add(start, end, attribution);
      else add(reading.starts[word], reading.ends[word], attribution);
    }
  }
  if (vectors) attributeToVectors(model.head, vectors, topic, ({ start, end }, each) => add(start, end, each));
  const spans = [...found].map(([key, attribution]) => ({ start: Math.floor(key / width), end: key % width, attribution }));
  return spans.filter(({ attribution }) => attribution).sort((a, b) => a.start - b.start || a.end - b.end);
}

function weightOf(model, column, topic) {
  for (let i = model.bounds[column]; i < model.bounds[column + 1]; i++) {
    if (model.topicOf[i] === topic) return model.weights[i];
  }
  return 0;
}

/** Return disjoint spans of the text, each with the sum of the attributions there. */
function piecesOf(spans) {
  const beginning = new Map(), ending = new Map();
  const put = (map, at, attribution) => map.set(at, [...(map.get(at) ?? []), attribution]);
  spans.forEach(({ start, end, attribution }) => { put(beginning, start, attribution); put(ending, end, attribution); });
  const least = ROUNDED_SUM * spans.reduce((most, { attribution }) => Math.max(most, Math.abs(attribution)), 0);
  const places = [...new Set([...beginning.keys(), ...ending.keys()])].sort((a, b) => a - b);
  const found = [];
  let nOpen = 0, sum = 0;
  places.slice(0, -1).forEach((start, i) => {
    const begun = beginning.get(start) ?? [], ended = ending.get(start) ?? [];
    nOpen += begun.length - ended.length;
    sum = nOpen ? sum + total(begun) - total(ended) : 0;
    if (Math.abs(sum) > least) found.push({ start, end: places[i + 1], attribution: sum });
  });
  const most = found.reduce((most, { attribution }) => Math.max(most, Math.abs(attribution)), 0);
  return found.filter(({ attribution }) => Math.abs(attribution) > MIN_STRENGTH * most)
    .map((piece) => ({ ...piece, strength: Math.abs(piece.attribution) / most }));
}

// Positions in the original text -------------------------------------------------------------------

/** Map spans of a reading to spans of the text, in characters, like `SpanMapper` in Python. */
function placesOf(model, reading, spans) {
  const { froms } = reading, [firsts, lasts] = originsIn(model, reading);
  return spans.map(({ start, end, attribution }) => ({ start: firsts[froms[start]], end: lasts[froms[end - 1]] + 1, attribution }));
}

/** Return the number of points for the first `n` characters of the text. */
function pointsOf(model, reading, n) {
  if (reading.given.length <= n) return reading.points.length;
  const [, lasts] = originsIn(model, reading);
  return reading.froms.findIndex((from) => from >= 0 && lasts[from] >= n);
}

function originsIn(model, reading) {
  reading.origins ??= originsOf(reading.low, reading.read);
  return reading.origins;
}

/** Return the first and last original characters of each character after normalisation. */
function originsOf(low, read) {
  const { points, origins } = low;
  if (points === read || isSame(points, read)) return [origins, origins];
  const firsts = [], lasts = [];
  let done = 0;
  const keepTo = (end) => {
    for (; done < end; done++) { firsts.push(origins[done]); lasts.push(origins[done]); }
  };
  for (const { start, end, nAfter } of changes(points)) {
    keepTo(start);
    for (let i = 0; i < nAfter; i++) { firsts.push(origins[start]); lasts.push(origins[end - 1]); }
    done = end;
  }
  keepTo(points.length);
  return [firsts, lasts];
}

function isSame(a, b) {
  return a.length === b.length && a.every((point, i) => point === b[i]);
}

/** Return the spans that normal form C changes, and their lengths afterwards. */
function changes(points) {
  const found = [], isWide = (i) => i < points.length && points[i] >= 0x80;
  for (let i = 0; i < points.length; i++) {
    if (!isWide(i) && !isWide(i + 1)) continue;
    // An ASCII character doesn't combine with what precedes it, but may with what follows.
    let end = i + 1;
    while (isWide(end)) end++;
    let start = i;
    const part = points.slice(i, end);
    for (const cluster of isSame(part, normalFormC(part)) ? [] : clustersOf(part)) {
      const normal = normalFormC(cluster), unchanged = nUnchanged(cluster, normal);
      if (!isSame(normal, cluster)) {
        found.push({ start: start + unchanged, end: start + cluster.length, nAfter: normal.length - unchanged });
      }
      start += cluster.length;
    }
    i = end - 1;
  }
  return found;
}

/** Split a text into the shortest parts that normalise independently. */
function clustersOf(points) {
  const found = [];
  let cluster = [];
  for (const point of points) {
    if (cluster.length && begins(point, cluster)) {
      found.push(cluster);
      cluster = [];
    }
    cluster.push(point);
  }
  return [...found, cluster];
}

/** True if a character neither combines with the preceding ones nor is reordered before them. */
function begins(point, before) {
  if (isMark(point)) return false;
  const separate = [before, [point]].flatMap((part) => normalFormC(part));
  return isSame(normalFormC([...before, point]), separate);
}

/** Return 1 if the first character is unchanged and combined with no other, else 0. */
function nUnchanged(cluster, normal) {
  const rest = normalFormC(cluster.slice(1));
  return Number(cluster.length > 1 && isSame(normal, [cluster[0], ...rest]));
}
