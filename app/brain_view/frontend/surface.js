// Turns the indexed surfaces into the buffers that the shaders want: one entry per triangle corner,
// because a fragment must know the parcels of all three corners to draw smooth parcel borders.

const CORNER_BYTES = 24; // pial xyz + sulc, inflated xyz + 0 (int16 each), two normals (int8 × 4)

function vertexNormals(positions, faces, n) {
  const sum = new Float32Array(n * 3);
  for (let f = 0; f < faces.length; f += 3) {
    const a = faces[f] * 3, b = faces[f + 1] * 3, c = faces[f + 2] * 3;
    const ux = positions[b] - positions[a], uy = positions[b + 1] - positions[a + 1], uz = positions[b + 2] - positions[a + 2];
    const vx = positions[c] - positions[a], vy = positions[c + 1] - positions[a + 1], vz = positions[c + 2] - positions[a + 2];
    const nx = uy * vz - uz * vy, ny = uz * vx - ux * vz, nz = ux * vy - uy * vx; // weighted by area
    for (const i of [a, b, c]) { sum[i] += nx; sum[i + 1] += ny; sum[i + 2] += nz; }
  }
  const out = new Int8Array(n * 3);
  for (let i = 0; i < sum.length; i += 3) {
    const length = Math.hypot(sum[i], sum[i + 1], sum[i + 2]) || 1;
    for (let k = 0; k < 3; k += 1) out[i + k] = Math.round((sum[i + k] / length) * 127);
  }
  return out;
}

/** Corner buffer of both hemispheres; `hemispheres[h]` is its range in corners. */
export function buildSurface({ header, arrays }) {
  const n = header.n_vertices;
  const sides = ["left", "right"];
  const total = sides.reduce((sum, side) => sum + arrays[`faces_${side}`].length, 0);
  const buffer = new ArrayBuffer(total * CORNER_BYTES);
  const shorts = new Int16Array(buffer), bytes = new Int8Array(buffer);
  const hemispheres = [];
  let corner = 0;
  for (const side of sides) {
    const faces = arrays[`faces_${side}`], pial = arrays[`pial_${side}`], inflated = arrays[`inflated_${side}`];
    const sulc = arrays[`sulc_${side}`];
    const pialNormals = vertexNormals(pial, faces, n), inflatedNormals = vertexNormals(inflated, faces, n);
    hemispheres.push({ first: corner, count: faces.length });
    for (let i = 0; i < faces.length; i += 1, corner += 1) {
      const v = faces[i] * 3, s = corner * (CORNER_BYTES / 2), b = corner * CORNER_BYTES + 16;
      for (let k = 0; k < 3; k += 1) {
        shorts[s + k] = pial[v + k];
        shorts[s + 4 + k] = inflated[v + k];
        bytes[b + k] = pialNormals[v + k];
        bytes[b + 4 + k] = inflatedNormals[v + k];
      }
      shorts[s + 3] = sulc[faces[i]];
    }
  }
  return { buffer, hemispheres, header, faces: [arrays.faces_left, arrays.faces_right], n };
}

/** Parcels of the three corners, the same for each corner of a triangle; `none` where there is none. */
export function buildLabels(surface, labels, none) {
  const total = surface.hemispheres.reduce((sum, h) => sum + h.count, 0);
  const out = new Uint16Array(total * 4);
  let corner = 0;
  surface.faces.forEach((faces, h) => {
    for (let f = 0; f < faces.length; f += 3) {
      const three = [0, 1, 2].map((k) => {
        const label = labels[h * surface.n + faces[f + k]];
        return label < 0 ? none : label;
      });
      for (let k = 0; k < 3; k += 1, corner += 1) out.set(three, corner * 4);
    }
  });
  return out;
}

/** One entry per deep parcel: x, y, z in mm (MNI), radius in mm, parcel, side (-1, 0, 1). */
export function buildSpheres({ header, arrays }) {
  const out = [];
  arrays.deep.forEach((deep, parcel) => {
    if (!deep) return;
    const side = { L: -1, R: 1 }[header.hemisphere[parcel]] ?? 0;
    const radius = header.structure[parcel] === "cerebellum" ? 5 : 4;
    out.push(...arrays.position.subarray(parcel * 3, parcel * 3 + 3), radius, parcel, side);
  });
  return new Float32Array(out);
}

export { CORNER_BYTES };
