// The demo's parts that need no page.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { line, parse, read } from '../../demo/csv.js';
import { bytes, counted, duration, newest, percent } from '../../demo/dom.js';
import { groups, margin, words } from '../../demo/explain.js';
import { arrange, which } from '../../demo/folder.js';
import { byOperator, family } from '../../demo/operators.js';
import { scale, tone } from '../../demo/tones.js';

test('CSV is read as RFC 4180 has it', () => {
  const cases = [
    ['a,b\r\nc,d\r\n', [['a', 'b'], ['c', 'd']]],
    ['a,b\nc,d', [['a', 'b'], ['c', 'd']]],
    ['a\rb', [['a'], ['b']]],
    ['"a,1","say ""so"""\n"two\nlines",', [['a,1', 'say "so"'], ['two\nlines', '']]],
    ['a,,\n,\n', [['a', '', ''], ['', '']]],
    ['say "so",x', [['say "so"', 'x']]],
    ['"open, to the end', [['open, to the end']]],
    ['"closed" early,x', [['closed early', 'x']]],
    ['', []],
    ['\n', [['']]],
  ];
  for (const [text, records] of cases) assert.deepEqual(parse(text, ','), records, JSON.stringify(text));
  assert.deepEqual(parse('a;"b;c"', ';'), [['a', 'b;c']]);
});

test('what is written is read again', () => {
  const record = ['plain', 'a,b', 'say "so"', 'two\r\nlines', '', ' spaces '];
  assert.deepEqual(parse(line(record) + line(record), ','), [record, record]);
  assert.equal(line(['a', 'b,c', 0.5]), 'a,"b,c",0.5\r\n');
});

test('tables are told from texts, and the text from other columns', () => {
  const rows = (content) => {
    const { rows, text } = read(content);
    return rows.map((row) => row[text]);
  };
  assert.deepEqual(rows('Good.\n\n  \r\nBad, really bad.'), ['Good.', 'Bad, really bad.']);
  // As many commas in every line are no table if the first is a sentence.
  assert.deepEqual(rows('Good, I say.\nBad, you say.'), ['Good, I say.', 'Bad, you say.']);
  assert.deepEqual(rows('id,review\n1,"Good, I say."\n2,Bad\n'), ['Good, I say.', 'Bad']);
  assert.deepEqual(rows('id\treview\n1\tGood, I say.\n'), ['Good, I say.']);
  assert.deepEqual(rows('nr;wertung\n1;Ein guter Film\n'), ['Ein guter Film']);
  assert.deepEqual(rows('\ufefftext,stars\nGood,5\n'), ['Good']);
  assert.deepEqual(rows('a,b\nshort,this one is the longest\n'), ['this one is the longest']);
  assert.deepEqual(rows('text\n"Good, I say."\nBad'), ['Good, I say.', 'Bad']);
  assert.deepEqual(read('id,text\n1,a,b\n').columns, ['text']); // not as many fields everywhere
  assert.deepEqual(read('').rows, []);
});

test('words and groups of neighbours', () => {
  const text = "It isn't well-made, 你好!";
  const found = words(text).map(([start, end]) => text.slice(start, end));
  assert.ok(found.includes("isn't") && found.includes('made') && !found.includes(','), found.join('|'));
  assert.deepEqual(words(' ,. '), []);
  const spans = Array.from({ length: 130 }, (_, i) => [2 * i, 2 * i + 1]);
  const grouped = groups(spans, 64);
  assert.ok(grouped.length <= 64);
  assert.deepEqual([grouped[0], grouped.at(-1)[1]], [[0, 5], 259]);
  assert.deepEqual(groups(spans.slice(0, 3), 64), spans.slice(0, 3));
  assert.deepEqual(groups([], 64), []);
});

test('margins are log-odds', () => {
  const odds = (p) => Math.log(p / (1 - p));
  const softmax = (logits) => logits.map((x) => Math.exp(x) / logits.reduce((sum, x) => sum + Math.exp(x), 0));
  for (const logits of [[1, 3], [0.5, -1, 2, 0]]) {
    softmax(logits).forEach((p, i) => assert.ok(Math.abs(margin(logits, i) - odds(p)) < 1e-9));
  }
  assert.equal(margin([2], 0), 2);
  assert.equal(margin([1000, -1000], 0), 2000);
});

test('folders of models', () => {
  const file = (size) => ({ size });
  const pairs = [
    ['my-model/onnx/model.onnx', file(9)], ['my-model/onnx/model_quantized.onnx', file(3)],
    ['my-model/config.json', file(1)], ['my-model/tokenizer.json', file(1)], ['my-model/README.md', file(1)],
    ['my-model/1_Pooling/config.json', file(1)], ['my-model/onnx/model.onnx_data', file(99)],
  ];
  const { name, source, models } = arrange(pairs);
  assert.equal(name, 'my-model');
  assert.deepEqual(models, ['onnx/model_quantized.onnx', 'onnx/model.onnx']);
  const kept = ['1_Pooling/config.json', 'config.json', 'onnx/model.onnx', 'onnx/model.onnx_data', 'onnx/model_quantized.onnx', 'tokenizer.json'];
  assert.deepEqual(Object.keys(source).sort(), kept);
  assert.deepEqual(arrange([['a.txt', file(1)]]), { name: 'Your files', source: {}, models: [] });

  assert.deepEqual(which('onnx/model_quantized.onnx'), { subfolder: 'onnx/', model_file_name: 'model', dtype: 'q8' });
  assert.deepEqual(which('mine.onnx'), { subfolder: '', model_file_name: 'mine', dtype: 'fp32' });
  assert.deepEqual(which('a/b/x_q4f16.onnx'), { subfolder: 'a/b/', model_file_name: 'x', dtype: 'q4f16' });
  assert.deepEqual(which('_int8.onnx'), { subfolder: '', model_file_name: '_int8', dtype: 'fp32' });
});

test('operators of one kind are one line, the longest first', () => {
  const steps = [['Linear', 1], ['Attention', 5], ['Linear', 2]].map(([operator, milliseconds]) => ({ operator, milliseconds }));
  assert.deepEqual(byOperator(steps), [['Attention', 1, 5], ['Linear', 2, 3]]);
  assert.equal(family('LinearInt8+Gelu'), 'family-linear');
  assert.equal(family('AttentionStacked'), 'family-attention');
  assert.equal(family('Erf'), 'family-other');
});

test('labels have colours, and two of them an axis', () => {
  assert.deepEqual(['NEGATIVE', 'POSITIVE'].map((label) => tone(label, ['NEGATIVE', 'POSITIVE'])), ['tone-bad', 'tone-good']);
  assert.equal(scale(['positive', 'negative']), 'positive');
  assert.equal(scale(['LABEL_0', 'LABEL_1']), 'LABEL_1');
  assert.equal(scale(['a', 'b', 'c']), undefined);
  assert.equal(tone('b', ['a', 'b', 'c']), 'tone-1');
});

test('numbers for people', () => {
  assert.deepEqual([0, 999, 1234, 45_600, 14_580_896].map(bytes), ['0 bytes', '999 bytes', '1.2 KB', '46 KB', '15 MB'].map((text) => text.replace(' ', '\u00a0')));
  assert.deepEqual([0.0123, 0.5, 12.34, 123.4, 2500].map(duration), ['0.012 ms', '0.50 ms', '12.3 ms', '123 ms', '2.5 s'].map((text) => text.replace(' ', '\u00a0')));
  assert.equal(counted(1, 'text'), '1 text');
  assert.equal(counted(12345, 'text'), '12,345 texts');
  assert.equal(percent(0.9712), '97.1\u00a0%');
});

test('only the newest of what waits is done', async () => {
  const done = [];
  let release;
  const work = newest(async (item) => {
    done.push(item);
    if (item === 1) await new Promise((resolve) => (release = resolve));
  });
  const first = work(1);
  await work(2);
  await work(3);
  assert.deepEqual(done, [1]);
  release();
  await first;
  assert.deepEqual(done, [1, 3]);
});
