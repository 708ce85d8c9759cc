// Steps of a profile by what they do.

/** Operators of one family have one colour, in every chart. */
const FAMILIES = [
  [/^(Linear|MatMul|Gemm)/, 'family-linear'],
  [/^Attention/, 'family-attention'],
  [/^(LayerNorm|Softmax|Reduce)/, 'family-norm'],
  [/^(Gather|Slice|Concat|Transpose|Split)/, 'family-move'],
];

/** A class of demo.css. */
export function family(operator) {
  return FAMILIES.find(([pattern]) => pattern.test(operator))?.[1] ?? 'family-other';
}

/** `[operator, steps, milliseconds]`, the longest first. */
export function byOperator(steps) {
  const sums = new Map();
  for (const { operator, milliseconds } of steps) {
    const [count, sum] = sums.get(operator) ?? [0, 0];
    sums.set(operator, [count + 1, sum + milliseconds]);
  }
  return [...sums].map(([operator, sum]) => [operator, ...sum]).sort((a, b) => b[2] - a[2]);
}
