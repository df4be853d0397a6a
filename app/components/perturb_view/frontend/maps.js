// What the brains beside the sliders show: values, units, colour scales, by the name of a map.

import { pack } from "./pack.js";

const NARROW = 700; // px: below, one brain at a time

/** A still among moving pictures: the same at every moment. */
function still(map, nFrames) {
  const out = new Float32Array(map.length * nFrames);
  for (let k = 0; k < nFrames; k += 1) out.set(map, k * map.length);
  return out;
}

const minus = (a, b) => a.map((value, i) => value - b[i]);

/** The maps that exist now, {name: words}, in the order of the list. */
export function choices({ header, comparing, first, active }) {
  if (comparing) return header.compare_maps;
  const { interaction, ...others } = header.maps;
  return first && active > 1 ? { ...others, interaction } : others;
}

/** Which of them stand on the page: one on a narrow page, the first and the chosen one on a wide one. */
export function shown(names, chosen, width) {
  const known = names.includes(chosen) ? chosen : names[width < NARROW ? 0 : 1];
  return width < NARROW ? [known] : [names[0], known];
}

/** Names that can be chosen: on a wide page the first one always stands on the left. */
export const offered = (names, width) => (width < NARROW ? names : names.slice(1));

export const height = (width) => (width < NARROW ? 190 : 440);

/**
 * One map as a panel of the brain view. `now`: {effect (P), frames (F × P), first (P) or null: the sum of the
 * single responses when an exact answer is on screen}.
 */
export function panel(name, { header, arrays, now, nFrames }) {
  const common = { unit: header.unit, scale: "diverging", limits: [-header.limit, header.limit], title: header.maps[name] ?? header.compare_maps[name] };
  const of = (map, more = {}) => ({ ...common, ...more, values: still(map, nFrames) });
  switch (name) {
    case "a": return of(arrays.a_effect, { title: "A: model's response" });
    case "b": return of(now.effect, { title: "B: model's response" });
    case "change": return of(minus(now.effect, arrays.a_effect), { title: "B minus A" });
    case "time": return { ...common, limits: [-header.frame_limit, header.frame_limit], values: now.frames };
    case "lag": return of(arrays.lag, { unit: "s after onset", scale: "sequential", limits: header.lag_limits });
    case "z": return of(arrays.z, { unit: "z", limits: [-6, 6] });
    case "interaction": return of(minus(arrays.first_effect, now.first));
    default: return of(now.effect);
  }
}

/** Shows panels: into the brains' own memory where only values changed, as a new message otherwise. */
export function show(brain, panels, { header, nFrames, width, before }) {
  const gaps = panels.map(({ values }) => values.some((value) => value !== value));
  const message = {
    key: header.key, surface: header.surface, parcellation: header.parcellation,
    panels: panels.map(({ values, ...rest }, i) => ({
      ...rest, categories: [], n_frames: nFrames, gap: header.gap,
      alt: `${rest.title}, ${rest.unit}.${gaps[i] ? ` Hatched: ${header.gap}.` : ""}`,
    })),
    times: header.frame_times, seen_until: header.seen_until, picked: null, height: height(width),
    view: "overview", inflation: 0.55, start_frame: 0, autoplay: false, pickable: true,
  };
  const layout = JSON.stringify(message);
  const ready = brain.panels?.length === panels.length && brain.panels.every((old, i) => old.values.length === panels[i].values.length);
  if (layout === before && ready) {
    panels.forEach(({ values }, i) => brain.panels[i].values.set(values));
    brain.clock.onFrame(brain.clock.frame);
  } else {
    brain.update(pack(message, Object.fromEntries(panels.map(({ values }, i) => [`panel${i}`, values]))));
  }
  return layout;
}
