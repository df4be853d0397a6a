// Reads the container that brainlm_core/viz/transport.py packs, and fetches the constant ones once.

const TYPES = {
  float32: Float32Array,
  int16: Int16Array,
  uint16: Uint16Array,
  int8: Int8Array,
  uint8: Uint8Array,
};

/** Header and typed arrays of one container. */
export function unpack(bytes) {
  // Typed arrays need aligned memory; a message may start anywhere in its buffer.
  const data = bytes.byteOffset % 4 ? bytes.slice() : bytes;
  const length = new DataView(data.buffer, data.byteOffset).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(data.subarray(4, 4 + length)));
  const start = data.byteOffset + 4 + length;
  const arrays = {};
  for (const [name, type, offset, count] of header.arrays) {
    arrays[name] = new TYPES[type](data.buffer, start + offset, count);
  }
  return { header, arrays };
}

/** True when two messages say the same. */
export function sameBytes(a, b) {
  if (!a || !b || a.byteLength !== b.byteLength) return false;
  for (let i = 0; i < a.length; i += 1) if (a[i] !== b[i]) return false;
  return true;
}

const constants = new Map();

/** Puts a constant in place that came with the page: in a report nothing can be fetched. */
export function provideConstant(path, bytes) {
  constants.set(path, Promise.resolve(unpack(bytes)));
}

/** A container that never changes under its address: one request per tab, whoever asks. */
export function fetchConstant(path) {
  if (!constants.has(path)) {
    // Streamlit may live under a base path: everything before "_stcore" is the app.
    const root = new URL(import.meta.url.split("_stcore/")[0]);
    const request = fetch(new URL(path, root)).then(async (response) => {
      if (!response.ok) throw new Error(`${path}: HTTP ${response.status}`);
      return unpack(new Uint8Array(await response.arrayBuffer()));
    });
    request.catch(() => constants.delete(path)); // a failed request may be repeated
    constants.set(path, request);
  }
  return constants.get(path);
}
