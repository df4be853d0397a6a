// Writes the container that the brain view reads (brainlm_core/viz/transport.py).

/** `arrays`: {name: Float32Array}. */
export function pack(header, arrays) {
  const listing = [];
  let offset = 0;
  for (const [name, array] of Object.entries(arrays)) {
    listing.push([name, "float32", offset, array.length]);
    offset += array.byteLength;
  }
  const text = new TextEncoder().encode(JSON.stringify({ ...header, arrays: listing }));
  const padded = text.length + ((4 - ((text.length + 4) % 4)) % 4);
  const out = new Uint8Array(4 + padded + offset);
  new DataView(out.buffer).setUint32(0, padded, true);
  out.fill(32, 4, 4 + padded);
  out.set(text, 4);
  let at = 4 + padded;
  for (const array of Object.values(arrays)) {
    out.set(new Uint8Array(array.buffer, array.byteOffset, array.byteLength), at);
    at += array.byteLength;
  }
  return out;
}
