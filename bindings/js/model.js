// The model that comes with the package: English film reviews, positive or negative. One literal URL a file, the form
// that bundlers recognise; a function, as there are places that know no addresses.

export default () => ({
  'config.json': new URL('./model/config.json', import.meta.url),
  'tokenizer.json': new URL('./model/tokenizer.json', import.meta.url),
  'tokenizer_config.json': new URL('./model/tokenizer_config.json', import.meta.url),
  'onnx/model_quantized.onnx': new URL('./model/onnx/model_quantized.onnx', import.meta.url),
});
