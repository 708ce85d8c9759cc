// Which words decided: the text is classified again with one word hidden at a time, all copies in one batch. What a
// word's absence takes from the label, in log-odds, is its weight. In long texts several neighbours are hidden at once, and
// the batch is cut into several, between which the next key gets its turn.

const MOST = 64; // copies
const LEAST = 8;
const TOKENS = 4096; // of all copies, about
const AT_ONCE = 1024;

const segmenter = globalThis.Intl?.Segmenter && new Intl.Segmenter(undefined, { granularity: 'word' });

/** Words of a text as `[start, end]`. */
export function words(text) {
  if (segmenter) {
    const all = [...segmenter.segment(text)].filter(({ isWordLike }) => isWordLike);
    return all.map(({ index, segment }) => [index, index + segment.length]);
  }
  return [...text.matchAll(/[\p{L}\p{N}]+(?:['’][\p{L}\p{N}]+)*/gu)].map(({ 0: word, index }) => [index, index + word.length]);
}

/** At most `most` groups of neighbours. */
export function groups(spans, most) {
  const size = Math.ceil(spans.length / most);
  const count = Math.ceil(spans.length / size) || 0;
  return Array.from({ length: count }, (_, i) => {
    const group = spans.slice(i * size, (i + 1) * size);
    return [group[0][0], group.at(-1)[1]];
  });
}

/** How far the label `index` is ahead of all others, in log-odds. */
export function margin(logits, index) {
  if (logits.length === 1) return logits[0];
  const others = [...logits].filter((_, i) => i !== index);
  const most = Math.max(...others);
  return logits[index] - most - Math.log(others.reduce((sum, logit) => sum + Math.exp(logit - most), 0));
}

/** What stands in for a hidden word: the model's own mask, if its tokenizer knows one by that name, else nothing. */
export async function mask(classify) {
  for (const name of ['[MASK]', '<mask>']) {
    const [ids, none] = [await classify.tokenize(name), await classify.tokenize('')];
    if (ids.length === none.length + 1) return name;
  }
  return '';
}

/**
 * `{ index, margin, parts: [{ start, end, weight }] }` for the best label of a text; undefined if `isStale()`, which is
 * asked now and then.
 */
export async function explain(classify, text, hidden, isStale) {
  const tokens = (await classify.tokenize(text)).length;
  const parts = groups(words(text), Math.min(MOST, Math.max(LEAST, Math.floor(TOKENS / tokens))));
  const copies = [text, ...parts.map(([start, end]) => text.slice(0, start) + hidden + text.slice(end))];
  const size = Math.ceil(AT_ONCE / tokens);
  const logits = [];
  for (let i = 0; i < copies.length; i += size) {
    if (i > 0) await new Promise((resolve) => setTimeout(resolve));
    if (isStale()) return undefined;
    logits.push(...(await classify.logits(copies.slice(i, i + size))));
  }
  const [whole, ...rest] = logits;
  const index = whole.indexOf(Math.max(...whole));
  const full = margin(whole, index);
  const weigh = ([start, end], i) => ({ start, end, weight: full - margin(rest[i], index) });
  return { index, margin: full, parts: parts.map(weigh) };
}
