// An engine that traps: what it is tested with that one thread of the pool crashes while others wait for it.

/** The same module, but that every product of vectors of floats is a trap. */
export function trapping(wasm) {
  const bytes = Uint8Array.from(wasm);
  const code = sections(bytes).find(({ id }) => id === 10);
  let found = 0;
  for (let i = code.start; i + 3 <= code.end; i += 1) {
    // f32x4.mul
    if (bytes[i] !== 0xfd || bytes[i + 1] !== 0xe6 || bytes[i + 2] !== 0x01) continue;
    bytes.set([0x00, 0x01, 0x01], i); // unreachable, nop, nop
    found += 1;
  }
  if (found === 0) throw new Error('there is none');
  return bytes;
}

function sections(bytes) {
  const all = [];
  for (let at = 8; at < bytes.length; ) {
    const id = bytes[at++];
    let [size, shift, byte] = [0, 0];
    do {
      byte = bytes[at++];
      size |= (byte & 0x7f) << shift;
      shift += 7;
    } while (byte & 0x80);
    all.push({ id, start: at, end: (at += size) });
  }
  return all;
}
