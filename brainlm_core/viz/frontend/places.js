// Where parcels appear on screen: for outlining them, and for moving between them with the arrow keys.

import { SCENE_CENTRE, hemisphereShift, viewMatrix } from "./camera.js";

/** Vertices of a parcel per hemisphere, indices into the surface arrays. */
function verticesOf(parcel, labels, n) {
  const out = [[], []];
  for (let v = 0; v < labels.length; v += 1) if (labels[v] === parcel) out[v < n ? 0 : 1].push((v % n) * 3);
  return out;
}

/** Boxes in CSS px, one per tile that may show the parcel, a little too large. */
export function boxesOf(parcel, tiles, look, surface, { arrays, header }) {
  const { header: about, arrays: shape } = surface;
  const vertices = verticesOf(parcel, arrays.labels, about.n_vertices);
  const boxes = [];
  for (const tile of tiles) {
    const m = viewMatrix(tile.yaw, tile.pitch);
    let x0 = Infinity, x1 = -Infinity, y0 = Infinity, y1 = -Infinity, margin = 8;
    const add = (x, y, z) => {
      const sx = tile.centre[0] + (m[0] * x + m[3] * y + m[6] * z + look.pan[0]) * tile.pxPerMm;
      const sy = tile.centre[1] - (m[1] * x + m[4] * y + m[7] * z + look.pan[1]) * tile.pxPerMm;
      x0 = Math.min(x0, sx); x1 = Math.max(x1, sx); y0 = Math.min(y0, sy); y1 = Math.max(y1, sy);
    };
    if (tile.glass && arrays.deep[parcel]) {
      const side = { L: -1, R: 1 }[header.hemisphere[parcel]] ?? 0;
      const at = [0, 1, 2].map((k) => arrays.position[parcel * 3 + k] - SCENE_CENTRE[k] + (k ? 0 : side * tile.gap));
      add(...at);
      margin += 6 * tile.pxPerMm;
    } else if (!tile.glass) {
      margin += 4 * tile.pxPerMm; // a border lies up to an edge beyond the outermost vertex
      for (const h of tile.hemispheres) {
        const name = h ? "right" : "left";
        const folded = shape[`pial_${name}`], round = shape[`inflated_${name}`];
        const shift = hemisphereShift(about, h, look.morph, tile);
        const at = (i, k) => (folded[i + k] * (1 - look.morph) + round[i + k] * look.morph) / about.steps_per_mm + shift[k];
        for (const i of vertices[h]) add(at(i, 0), at(i, 1), at(i, 2));
      }
    }
    if (x0 <= x1) boxes.push({ x: x0 - margin, y: y0 - margin, width: x1 - x0 + 2 * margin, height: y1 - y0 + 2 * margin });
  }
  return boxes;
}

/** Middle of every parcel as seen in one tile: [{parcel, x, y, tile}] in CSS px of the grid. */
function visibleParcels({ data, width, height }, tiles) {
  const out = [];
  tiles.forEach((tile, index) => {
    const sums = new Map();
    const { rect } = tile;
    const x1 = Math.min(width, Math.floor(rect.x + rect.width)), y1 = Math.min(height, Math.floor(rect.y + rect.height));
    for (let y = Math.max(0, Math.ceil(rect.y)); y < y1; y += 2) {
      for (let x = Math.max(0, Math.ceil(rect.x)); x < x1; x += 2) {
        const at = ((height - 1 - y) * width + x) * 4;
        const id = data[at] + 256 * data[at + 1];
        if (!id) continue;
        const sum = sums.get(id) ?? { n: 0, x: 0, y: 0 };
        sum.n += 1; sum.x += x; sum.y += y;
        sums.set(id, sum);
      }
    }
    for (const [id, { n, x, y }] of sums) out.push({ parcel: id - 1, x: x / n, y: y / n, tile: index });
  });
  return out;
}

/** The nearest parcel from `from` ({parcel, x, y}) towards (dx, dy), or null at the edge. */
export function towards(from, [dx, dy], ids, tiles, nParcels) {
  const all = visibleParcels(ids, tiles).filter(({ parcel }) => parcel < nParcels);
  if (!from) return all[0] ?? null;
  let best = null, least = Infinity;
  for (const place of all) {
    if (place.parcel === from.parcel) continue;
    const along = (place.x - from.x) * dx + (place.y - from.y) * dy;
    const aside = Math.abs((place.x - from.x) * dy - (place.y - from.y) * dx);
    if (along <= 1 || aside > 1.5 * along) continue;
    const cost = along + 1.5 * aside;
    if (cost < least) { least = cost; best = place; }
  }
  return best;
}

