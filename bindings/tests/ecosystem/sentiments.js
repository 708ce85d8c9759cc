// What transformers.js' pipeline says; in Node and in a page.

const TEXTS = [
  'I loved every minute of this film.',
  'Bad.',
  'The product interface is great but the support was bad.',
  'Two hours that I will never get back, and I would not have minded if there had been one single joke in it.',
];

/** Of one text, of texts in one padded batch, and of texts with all labels. `models` has the folder `model`. */
export async function sentiments({ pipeline, env }, models, options) {
  env.allowRemoteModels = false;
  env.allowLocalModels = true;
  env.localModelPath = models;
  env.useBrowserCache = false;
  env.useWasmCache = false;
  const classify = await pipeline('sentiment-analysis', 'model', { dtype: 'q8', ...options });
  const said = [await classify(TEXTS[0]), await classify(TEXTS), await classify(TEXTS.slice(1), { top_k: null })];
  await classify.dispose();
  return said.flat(2);
}
