// The one error class of the package, and how errors of the Rust side become it.
//
// Wrong arguments (a number where a text belongs) are TypeErrors, as everywhere in JavaScript. All else that can be
// foreseen is a FourlaneError: one sentence for people in `message`, one word for programs in `code`.

/** See index.d.ts for the codes. */
export class FourlaneError extends Error {
  constructor(code, message, options) {
    super(message, options);
    this.name = 'FourlaneError';
    this.code = code;
  }
}

/** Errors cross the boundary of the wasm module as strings of the form `code: sentence`. */
export function fromRust(thrown) {
  if (typeof thrown !== 'string') return thrown;
  const colon = thrown.indexOf(': ');
  return new FourlaneError(thrown.slice(0, colon), thrown.slice(colon + 2));
}
