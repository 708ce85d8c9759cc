// The one error class of the package.
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
