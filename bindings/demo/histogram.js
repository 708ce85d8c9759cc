// A histogram of scores from 0 to 1, bars in the colours of the labels that won there.

import { count, element, svg } from './dom.js';
import { scale, tone } from './tones.js';

const BINS = 20;
const HEIGHT = 100;

/** Fills `figure` with the results `{ label, score }`. With two labels the axis is the score of the good one. */
export function drawHistogram(figure, results, labels) {
  const axis = scale(labels);
  const value = ({ label, score }) => (axis === undefined || label === axis ? score : 1 - score);
  const bins = Array.from({ length: BINS }, () => new Map());
  for (const result of results) {
    const bin = bins[Math.min(BINS - 1, Math.max(0, Math.floor(value(result) * BINS)))];
    bin.set(result.label, (bin.get(result.label) ?? 0) + 1);
  }
  const totals = bins.map((bin) => [...bin.values()].reduce((sum, count) => sum + count, 0));
  const most = Math.max(1, ...totals);

  const bars = bins.flatMap((bin, i) => {
    let top = HEIGHT;
    return [...bin].map(([label, number]) => {
      const height = (HEIGHT * number) / most;
      top -= height;
      const place = { class: tone(label, labels), x: i + 0.06, width: 0.88, y: top.toFixed(2), height: height.toFixed(2) };
      const range = `${(i / BINS).toFixed(2)} to ${((i + 1) / BINS).toFixed(2)}`;
      return svg('rect', place, svg('title', {}, `${range}: ${count(number)} ${label}`));
    });
  });
  const what = axis === undefined ? 'score of the best label' : `score of ${axis}`;
  const told = totals.map((total, i) => total && `${total} from ${(i / BINS).toFixed(2)}`).filter(Boolean).join(', ');
  const view = { viewBox: `0 0 ${BINS} ${HEIGHT}`, preserveAspectRatio: 'none', role: 'img', 'aria-label': `Histogram, ${what}: ${told}` };
  figure.replaceChildren(
    svg('svg', view, ...bars),
    element('figcaption', {}, element('span', {}, '0'), element('span', {}, what[0].toUpperCase() + what.slice(1)), element('span', {}, '1')),
  );
}
