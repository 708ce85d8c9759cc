// In WebAssembly, canonical decompositions are JavaScript's: here every character is held to the table of the crate.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

const HANGUL = [0xac00, 0xd7a3];
/** As in `src/tokenizer/unicode/host.rs`. */
const WITHOUT = [[0x3400, 0x9fff], [0x10500, 0x10fff], [0x11380, 0x113ff], [0x11900, 0x1cfff]];

/** Rows of a table as `src/tokenizer/unicode/tables.rs` describes it. */
function rows(name, columns) {
  const numbers = [];
  let [number, shift] = [0, 0];
  for (const byte of readFileSync(new URL(`../../src/tokenizer/unicode/${name}`, import.meta.url))) {
    number |= (byte & 127) << shift;
    shift += 7;
    if (byte < 128) {
      numbers.push(number);
      [number, shift] = [0, 0];
    }
  }
  const count = numbers.length / columns;
  return Array.from({ length: count }, (_, row) => Array.from({ length: columns }, (_, column) => numbers[column * count + row]));
}

test('decompositions are those of the table', () => {
  const table = new Map();
  let [from, to] = [0, 0];
  for (const [gap, difference] of rows('decompositions.bin', 2)) {
    from += gap;
    to += (difference >>> 1) ^ -(difference & 1);
    table.set(from, [...(table.get(from) ?? []), to]);
  }
  assert.ok(table.size > 2000, `${table.size} characters`);
  const within = (code, ranges) => ranges.some(([first, last]) => first <= code && code <= last);
  const isMark = (code) => /\p{Mn}/u.test(String.fromCodePoint(code));
  for (let code = 0xc0; code < 0x110000; code++) {
    if (within(code, [HANGUL, [0xd800, 0xdfff]])) continue;
    const whole = within(code, WITHOUT) ? [code] : Array.from(String.fromCodePoint(code).normalize('NFD'), (c) => c.codePointAt(0));
    const wanted = (table.get(code) ?? [code]).filter((c) => !isMark(c));
    assert.deepEqual(whole.filter((c) => !isMark(c)), wanted, `U+${code.toString(16)}`);
  }
});
