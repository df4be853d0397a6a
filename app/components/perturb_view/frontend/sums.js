// The first-order picture: responses to single sliders at a few strengths, joined by straight lines, summed.

const GAP = -128; // "no answer" among the 8-bit frames

/** Responses of all sliders as they came from the server. */
export class Bank {
  /**
   * `effects` (nodes × P) float32, `frames` (nodes × F × P) int8 in steps of `scales` (nodes) SD;
   * a row knows its nodes as [{value, at}], rising, its neutral value left out.
   */
  constructor(effects, frames, scales, nParcels, nFrames) {
    Object.assign(this, { effects, frames, scales, nParcels, nFrames });
  }

  /** How much of which node makes up a row's response at a value: [[node, weight], …]. */
  static weights(row, value, neutral) {
    if (value === neutral || !row.nodes.length) return [];
    const points = [...row.nodes, { value: neutral, at: -1 }].sort((a, b) => a.value - b.value);
    let right = points.findIndex((point) => point.value >= value);
    if (right === -1) right = points.length - 1; // beyond the last node: the last line goes on
    if (right === 0) right = 1;
    const a = points[right - 1], b = points[right];
    const share = (value - a.value) / (b.value - a.value);
    return [[a.at, 1 - share], [b.at, share]].filter(([at, weight]) => at >= 0 && weight !== 0);
  }

  /** Sum over rows [{row, value, neutral}] into `effect` (P) and `frames` (F × P); false when a row is unknown. */
  sum(active, effect, frames) {
    effect.fill(0);
    frames.fill(0);
    const { nParcels: p, nFrames: f } = this;
    let complete = true;
    for (const { row, value, neutral } of active) {
      const weights = Bank.weights(row, value, neutral);
      if (!weights.length && value !== neutral) complete = false;
      for (const [at, weight] of weights) {
        const from = at * p;
        for (let i = 0; i < p; i += 1) effect[i] += weight * this.effects[from + i];
        const start = at * f * p, step = weight * this.scales[at], n = f * p, source = this.frames;
        for (let i = 0; i < n; i += 1) {
          const raw = source[start + i];
          frames[i] += raw === GAP ? NaN : raw * step;
        }
      }
    }
    for (const { row } of active) {
      for (const parcel of row.parcels) {
        effect[parcel] = NaN;
        for (let k = 0; k < f; k += 1) frames[k * p + parcel] = NaN;
      }
    }
    return complete;
  }
}

/** Root mean square of a − b and of b over what both know. */
export function difference(a, b) {
  let gap = 0, size = 0, n = 0;
  for (let i = 0; i < a.length; i += 1) {
    if (a[i] !== a[i] || b[i] !== b[i]) continue;
    gap += (a[i] - b[i]) ** 2;
    size += b[i] ** 2;
    n += 1;
  }
  return n ? { gap: Math.sqrt(gap / n), size: Math.sqrt(size / n) } : null;
}
