// Where there is no page: Cloudflare's workers (workerd, through miniflare) and Deno.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { build } from 'esbuild';
import { Miniflare } from 'miniflare';
import { HERE, MODEL, assertLabels, project, recorded, texts } from './support.js';

const FILES = ['config.json', 'tokenizer.json', 'tokenizer_config.json', 'onnx/model_quantized.onnx'];

/** Bundles as wrangler does: by the conditions of this platform, a .wasm being a module that the platform compiles. */
async function bundle(folder) {
  const outfile = join(folder, 'bundle.js');
  const wasm = {};
  const compiled = {
    name: 'compiled wasm',
    setup({ onResolve, resolve }) {
      onResolve({ filter: /\.wasm$/ }, async ({ path, pluginData, ...from }) => {
        if (pluginData === 'resolved') return undefined;
        const found = await resolve(path, { ...from, pluginData: 'resolved' });
        const name = found.path.split('/').at(-1);
        wasm[name] = readFileSync(found.path);
        return { path: `./${name}`, external: true };
      });
    },
  };
  await build({
    entryPoints: [join(folder, 'app.js')],
    bundle: true,
    format: 'esm',
    conditions: ['workerd', 'worker', 'browser'],
    plugins: [compiled],
    outfile,
    logLevel: 'error',
  });
  return { code: readFileSync(outfile, 'utf8'), wasm };
}

async function isolate(app, flags = []) {
  const { code, wasm } = await bundle(project({ 'app.js': app }));
  const modules = [
    { type: 'ESModule', path: 'app.js', contents: code },
    ...Object.entries(wasm).map(([path, contents]) => ({ type: 'CompiledWasm', path, contents })),
  ];
  const files = Object.fromEntries(FILES.map((name) => [name, readFileSync(join(MODEL, name))]));
  return new Miniflare({
    modules,
    compatibilityDate: '2026-04-01',
    compatibilityFlags: flags,
    dataBlobBindings: Object.fromEntries(Object.entries(files).map(([name, bytes]) => [name, bytes])),
  });
}

const HANDLER = `
  let loading;
  export default {
    async fetch(request, env) {
      const { texts, ids } = await request.json();
      loading ??= pipeline('sentiment-analysis', env);
      const classify = await loading;
      const session = await ort.InferenceSession.create(new Uint8Array(env['onnx/model_quantized.onnx']));
      const tensor = (data) => new ort.Tensor('int64', data, [1, data.length]);
      const { logits } = await session.run({ input_ids: tensor(ids), attention_mask: tensor(ids.map(() => 1)) });
      await session.release();
      return Response.json({ labels: await classify(texts), logits: [...logits.data], info: await classify.info() });
    },
  };
`;

async function assertAnswers(miniflare) {
  try {
    for (let i = 0; i < 2; i += 1) {
      const body = JSON.stringify({ texts, ids: recorded[0].input_ids });
      const response = await miniflare.dispatchFetch('http://localhost/', { method: 'POST', body });
      const { labels, logits, info } = JSON.parse(await response.text());
      assertLabels(labels);
      logits.forEach((logit, i) => assert.ok(Math.abs(logit - recorded[0].logits.quantized[i]) < 0.05));
      assert.equal(info.variant, 'relaxed');
    }
  } finally {
    await miniflare.dispose();
  }
}

for (const flags of [[], ['nodejs_compat']]) {
  test(`workerd ${flags}`, async () => {
    const app = `import { pipeline } from 'fourlane'; import * as ort from 'fourlane/ort'; ${HANDLER}`;
    await assertAnswers(await isolate(app, flags));
  });
}

test('workerd, with a module that the program chose', async () => {
  const app = `
    import { load, pipeline } from 'fourlane';
    import * as ort from 'fourlane/ort';
    import wasmBinary from 'fourlane/fourlane-relaxed.wasm';
    await load({ wasmBinary, variant: 'relaxed' });
    ${HANDLER}
  `;
  await assertAnswers(await isolate(app));
});

const deno = join(HERE, 'node_modules/@deno/linux-x64-glibc/deno');

test('Deno', { skip: !existsSync(deno) && 'there is no Deno for this machine' }, async () => {
  const app = `
    import { pipeline } from 'fourlane';
    import { InferenceSession } from 'fourlane/ort';
    const classify = await pipeline('sentiment-analysis');
    const labels = await classify(${JSON.stringify(texts)});
    const session = await InferenceSession.create('node_modules/fourlane/model/onnx/model_quantized.onnx');
    console.log(JSON.stringify({ labels, names: session.inputNames }));
  `;
  const folder = project({ 'app.js': app });
  const options = { cwd: folder, env: { ...process.env, DENO_DIR: join(folder, '.deno'), NO_COLOR: '1', DENO_NO_UPDATE_CHECK: '1' } };
  const { stdout } = await promisify(execFile)(deno, ['run', '--allow-read', '--cached-only', 'app.js'], options);
  const { labels, names } = JSON.parse(stdout);
  assertLabels(labels);
  assert.deepEqual(names, ['input_ids', 'attention_mask']);
});
