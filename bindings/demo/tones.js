// The colour of a label: two that mean good and bad have their own, others one by their place.

const GOOD = /^(pos|good|favou?rable)/i;
const BAD = /^(neg|bad|unfavou?rable)/i;

/** A class of demo.css. */
export function tone(label, labels) {
  if (GOOD.test(label)) return 'tone-good';
  if (BAD.test(label)) return 'tone-bad';
  const index = labels.indexOf(label);
  if (labels.length === 2) return index === 0 ? 'tone-bad' : 'tone-good';
  return `tone-${index % 6}`;
}

/** The label whose score a scale from 0 to 1 shows: the good one of two. Undefined of more than two. */
export function scale(labels) {
  if (labels.length !== 2) return undefined;
  return labels.find((label) => tone(label, labels) === 'tone-good') ?? labels[1];
}
