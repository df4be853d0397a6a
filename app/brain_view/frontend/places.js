// Where parcels appear on screen, for moving between them with the arrow keys.

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
