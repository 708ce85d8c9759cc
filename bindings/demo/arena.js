// The map of the arena: every value of a run as a rectangle, from the step that writes it to the last that reads it
// along x, and over the bytes where it lies along y. No two overlap: that is what the plan is for.

import { $, bytes, count, element, svg } from './dom.js';
import { family } from './operators.js';

const HEIGHT = 200; // of the drawing's own units; the page stretches it

/** Of what `classify.profile` tells. */
export function drawArena({ steps, arena, arenaBytes }) {
  const facts = $('arena-facts');
  const together = arena.reduce((sum, region) => sum + region.bytes, 0);
  const summary =
    `${count(arena.length)} values and working memories share ${bytes(arenaBytes)}, planned once for this length; ` +
    `kept apart they would take ${bytes(together)}. The pale are working memory.`;
  facts.textContent = summary;

  const scale = HEIGHT / arenaBytes;
  const rectangles = arena.map((region) => {
    const { operator } = steps[region.first];
    const kind = region.holds === 'result' ? family(operator) : `holds-${region.holds}`;
    const what = region.holds === 'input' ? 'input' : `${operator}${region.holds === 'scratch' ? ', scratch' : ''}`;
    const when = region.first === region.last ? `step ${region.first + 1}` : `steps ${region.first + 1} to ${region.last + 1}`;
    const place = {
      class: kind, x: region.first, width: region.last - region.first + 1,
      y: (region.offset * scale).toFixed(2), height: Math.max(region.bytes * scale, 0.4).toFixed(2),
    };
    return svg('rect', place, svg('title', {}, `${what}: ${bytes(region.bytes)}, ${when}`));
  });
  const view = { viewBox: `0 0 ${steps.length} ${HEIGHT}`, preserveAspectRatio: 'none', role: 'img', 'aria-label': `Map of the arena: ${summary}` };
  const map = svg('svg', view, ...rectangles);
  // What is under the pointer is told below, where a finger does not hide it.
  map.addEventListener('pointerover', ({ target }) => {
    facts.textContent = target.querySelector?.('title')?.textContent ?? summary;
  });
  map.addEventListener('pointerleave', () => (facts.textContent = summary));
  const caption = ['First step', `${bytes(arenaBytes)} high`, 'Last'].map((text) => element('span', {}, text));
  $('arena').replaceChildren(map, element('figcaption', {}, ...caption));
}
