// The loader's choice, in engines of several kinds.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { probe } from '../../js/probe.js';

const engine = (name) => readFileSync(new URL(`../../pkg/fourlane-${name}.wasm`, import.meta.url));

test('the probe says what the engine does', () => {
  const { variant } = probe();
  assert.equal(variant, WebAssembly.validate(engine('relaxed')) ? 'relaxed' : 'simd128');
  assert.ok(WebAssembly.validate(engine('simd128')));
});

test('without SIMD, and without WebAssembly', (t) => {
  t.mock.method(WebAssembly, 'validate', () => false);
  assert.equal(probe().variant, undefined);
  assert.match(probe().reason, /SIMD/);
  const { WebAssembly: original } = globalThis;
  globalThis.WebAssembly = undefined;
  try {
    assert.match(probe().reason, /no WebAssembly/);
  } finally {
    globalThis.WebAssembly = original;
  }
});
