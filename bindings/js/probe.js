// Which .wasm does this engine run? A module is validated as a whole, so one opcode that the engine does not know
// rejects the file. The probes below are complete modules with one function each, small enough to write by hand;
// WebAssembly.validate answers without running or compiling anything.

// (func (drop (i8x16.splat (i32.const 0))))
const SIMD128 = [0x41, 0, 0xfd, 0x0f, 0x1a];

// The two relaxed opcodes that the kernels emit: f32x4.relaxed_madd (0x105) and
// i32x4.relaxed_dot_i8x16_i7x16_add_s (0x113), each on three splats of zero.
const ZEROS = [0x41, 0, 0xfd, 0x0f, 0x41, 0, 0xfd, 0x0f, 0x41, 0, 0xfd, 0x0f];
const RELAXED = [...ZEROS, 0xfd, 0x85, 0x02, 0x1a, ...ZEROS, 0xfd, 0x93, 0x02, 0x1a];

// What shared memory takes: memory.atomic.notify, memory.atomic.wait32 and i32.atomic.rmw.cmpxchg, each on zeros, and
// memory.fill; in a module with a memory that is shared.
const ZERO = [0x41, 0];
const THREADS = [
  ...ZERO, ...ZERO, 0xfe, 0x00, 2, 0, 0x1a, ...ZERO, ...ZERO, 0x42, 0, 0xfe, 0x01, 2, 0, 0x1a,
  ...ZERO, ...ZERO, ...ZERO, 0xfe, 0x48, 2, 0, 0x1a, ...ZERO, ...ZERO, ...ZERO, 0xfc, 0x0b, 0,
];
const SHARED_MEMORY = [5, 4, 1, 3, 1, 1]; // one, shared, of one page

/** Whether this engine accepts a function with this body. */
function runs(body, memory = []) {
  const code = [0, ...body, 0x0b]; // no locals, body, end
  return WebAssembly.validate(
    Uint8Array.of(
      0, 0x61, 0x73, 0x6d, 1, 0, 0, 0, // magic, version
      1, 4, 1, 0x60, 0, 0, // types: [] -> []
      3, 2, 1, 0, // functions: one, of type 0
      ...memory,
      10, code.length + 2, 1, code.length, ...code,
    ),
  );
}

/** Whether this engine runs the builds with threads, if it may. */
export function runsThreads() {
  return runs(THREADS, SHARED_MEMORY);
}

/** `{ variant, reason }` for this engine; `variant` is undefined if it runs neither. */
export function probe() {
  if (typeof WebAssembly !== 'object') return { reason: 'this engine has no WebAssembly' };
  if (runs(RELAXED)) return { variant: 'relaxed', reason: 'this engine has relaxed SIMD' };
  if (runs(SIMD128)) return { variant: 'simd128', reason: 'this engine has SIMD, but not relaxed SIMD' };
  return { reason: 'this engine has WebAssembly, but not its SIMD instructions' };
}
