// Turns the indexed surfaces into the buffers that the shaders want: one entry per triangle corner,
// because a fragment must know the parcels of all three corners to draw smooth parcel borders.

const CORNER_BYTES = 24; // pial xyz + sulc, inflated xyz + 0 (int16 each), two normals (int8 × 4)
const LABEL_BYTES = 12;
const NONE = 0xffff; // fills up triangles of fewer than three parcels; no parcel has this number

function vertexNormals(positions, faces, n) {
  const sum = new Float32Array(n * 3);
  for (let f = 0; f < faces.length; f += 3) {
    const a = faces[f] * 3, b = faces[f + 1] * 3, c = faces[f + 2] * 3;
    const ux = positions[b] - positions[a], uy = positions[b + 1] - positions[a + 1], uz = positions[b + 2] - positions[a + 2];
    const vx = positions[c] - positions[a], vy = positions[c + 1] - positions[a + 1], vz = positions[c + 2] - positions[a + 2];
    const nx = uy * vz - uz * vy, ny = uz * vx - ux * vz, nz = ux * vy - uy * vx; // weighted by area
    sum[a] += nx; sum[a + 1] += ny; sum[a + 2] += nz;
    sum[b] += nx; sum[b + 1] += ny; sum[b + 2] += nz;
    sum[c] += nx; sum[c + 1] += ny; sum[c + 2] += nz;
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

/** Neighbours of every vertex of one hemisphere: `list[start[v]]` to `list[start[v + 1]]`. */
function neighbours(faces, n) {
  const start = new Uint32Array(n + 1);
  // On a closed surface each edge is walked once in either direction: one neighbour per corner.
  for (let i = 0; i < faces.length; i += 1) start[faces[i] + 1] += 1;
  for (let v = 0; v < n; v += 1) start[v + 1] += start[v];
  const list = new Uint16Array(faces.length), fill = start.slice(0, n);
  for (let f = 0; f < faces.length; f += 3) {
    for (let k = 0; k < 3; k += 1) list[fill[faces[f + k]]++] = faces[f + ((k + 1) % 3)];
  }
  return { start, list };
}

/**
 * How much a vertex belongs to a parcel, 0 to 1: membership averaged twice over the neighbours.
 * Borders drawn between such weights run smoothly instead of along the triangles. A vertex always
 * belongs most to its own parcel, so that nothing moves by more than part of an edge.
 */
function membership(labels, { start, list }) {
  const once = (v, parcel) => {
    let sum = labels[v] === parcel ? 2 : 0;
    for (let i = start[v]; i < start[v + 1]; i += 1) if (labels[list[i]] === parcel) sum += 1;
    return sum / (2 + start[v + 1] - start[v]);
  };
  return (v, parcel) => {
    let sum = 2 * once(v, parcel);
    for (let i = start[v]; i < start[v + 1]; i += 1) sum += once(list[i], parcel);
    return sum / (2 + start[v + 1] - start[v]);
  };
}

/**
 * Per corner: the up to three parcels of its triangle (uint16 × 4), the same for all three corners,
 * and how much the corner belongs to each (uint8 × 4). `none` stands for "no parcel".
 */
export function buildLabels(surface, vertexLabels, none) {
  const total = surface.hemispheres.reduce((sum, h) => sum + h.count, 0);
  const buffer = new ArrayBuffer(total * LABEL_BYTES);
  const parcels = new Uint16Array(buffer), weights = new Uint8Array(buffer);
  let corner = 0;
  surface.faces.forEach((faces, h) => {
    const labels = Uint16Array.from(vertexLabels.subarray(h * surface.n, (h + 1) * surface.n), (l) => (l < 0 ? none : l));
    const weight = membership(labels, neighbours(faces, surface.n));
    for (let f = 0; f < faces.length; f += 3, corner += 3) {
      const a = labels[faces[f]], b = labels[faces[f + 1]], c = labels[faces[f + 2]];
      if (a === b && a === c) { // four triangles in five
        for (let k = corner; k < corner + 3; k += 1) {
          parcels[k * 6] = a;
          parcels[k * 6 + 1] = parcels[k * 6 + 2] = NONE;
          weights[k * LABEL_BYTES + 8] = 255;
        }
      } else {
        const set = [...new Set([a, b, c])], own = [a, b, c];
        for (let k = 0; k < 3; k += 1) {
          const shares = set.map((parcel) => weight(faces[f + k], parcel));
          const others = Math.max(...shares.filter((_, i) => set[i] !== own[k]));
          for (let i = 0; i < 3; i += 1) {
            const share = set[i] === own[k] ? Math.max(shares[i], others + 0.08) : shares[i] ?? 0;
            parcels[(corner + k) * 6 + i] = set[i] ?? NONE;
            weights[(corner + k) * LABEL_BYTES + 8 + i] = Math.round(Math.min(1, share) * 255);
          }
        }
      }
    }
  });
  return buffer;
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

export { CORNER_BYTES, LABEL_BYTES };
