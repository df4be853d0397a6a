// Where the viewer stands. Angles in degrees; yaw 0 looks from behind, pitch 90 from above.

/** Column-major 3 × 3 matrix: rows are screen right, screen up, towards the viewer. */
export function viewMatrix(yaw, pitch) {
  const a = (yaw * Math.PI) / 180, b = (pitch * Math.PI) / 180;
  const ca = Math.cos(a), sa = Math.sin(a), cb = Math.cos(b), sb = Math.sin(b);
  const right = [ca, sa, 0];
  const toward = [sa * cb, -ca * cb, sb];
  const up = [-sa * sb, ca * sb, cb];
  return new Float32Array([0, 1, 2].flatMap((k) => [right[k], up[k], toward[k]]));
}

/** Middle of the folded brain in MNI mm: what both-hemisphere views turn around. */
export const SCENE_CENTRE = [0, -18, 10];

/** Where the middle of a hemisphere lies in the scene: in place in the glass brain, else centred. */
export function hemisphereShift(header, h, morph, { gap, glass, alone }) {
  if (alone) return [0, 0, 0];
  const side = h === 0 ? -1 : 1, centre = header.centre[h];
  const x = Math.abs(centre[0]) * (1 - morph) + header.inflated_half_width[h] * morph + gap;
  return glass ? [side * x, centre[1] - SCENE_CENTRE[1], centre[2] - SCENE_CENTRE[2]] : [side * x, 0, 0];
}

const BOTH = [0, 1];
/** Views of one brain: from where, which hemispheres, size of the frame in mm. */
export const PRESETS = {
  left: { label: "Left", yaw: -90, pitch: 0, hemispheres: BOTH, box: [192, 136], caption: "Left lateral" },
  right: { label: "Right", yaw: 90, pitch: 0, hemispheres: BOTH, box: [192, 136], caption: "Right lateral" },
  "left-medial": { label: "Left medial", yaw: 90, pitch: 0, hemispheres: [0], box: [192, 138], caption: "Left medial" },
  "right-medial": { label: "Right medial", yaw: -90, pitch: 0, hemispheres: [1], box: [192, 138], caption: "Right medial" },
  top: { label: "Top", yaw: 0, pitch: 90, hemispheres: BOTH, box: [176, 192], caption: "From above, front is up" },
  bottom: { label: "Below", yaw: 180, pitch: -90, hemispheres: BOTH, box: [176, 192], caption: "From below, front is up" },
  front: { label: "Front", yaw: 180, pitch: 0, hemispheres: BOTH, box: [176, 136], caption: "From the front" },
  back: { label: "Back", yaw: 0, pitch: 0, hemispheres: BOTH, box: [176, 136], caption: "From behind" },
};

/** A camera as the visitor left it: the view, turned by (yaw, pitch), zoomed and moved (mm). */
export const newCamera = (view) => ({ view, yaw: 0, pitch: 0, zoom: 1, pan: [0, 0] });
export const isMoved = (camera) =>
  Math.abs(camera.yaw) + Math.abs(camera.pitch) > 0.5 || Math.abs(camera.zoom - 1) > 0.01 || Math.hypot(...camera.pan) > 0.5;

const clampPitch = (pitch) => Math.max(-90, Math.min(90, pitch));

/** Whether a turn leads from one view to another without parts appearing on the way. */
export function canFly(from, to) {
  const [a, b] = [PRESETS[from], PRESETS[to]];
  return Boolean(a && b) && a.hemispheres.join() === b.hemispheres.join();
}

/** Turns `camera` (new) from where `before` stood, in under half a second; returns how to stop. */
export function fly(before, camera, onStep) {
  const from = PRESETS[before.view], to = PRESETS[camera.view];
  const yaw = from.yaw + before.yaw, pitch = from.pitch + before.pitch;
  const arc = ((((to.yaw - yaw) % 360) + 540) % 360) - 180; // the short way round
  const began = performance.now();
  let handle = 0;
  const step = (now) => {
    const t = Math.min(1, Math.max(0, (now - began) / 420)), ease = t * t * (3 - 2 * t);
    const mix = (a, b) => a + (b - a) * ease;
    camera.preset = t < 1
      ? { ...to, yaw: yaw + arc * ease, pitch: mix(pitch, to.pitch), box: to.box.map((v, i) => mix(from.box[i], v)) }
      : undefined;
    camera.zoom = mix(before.zoom, 1);
    camera.pan = before.pan.map((v) => mix(v, 0));
    onStep();
    if (t < 1) handle = requestAnimationFrame(step);
  };
  step(began);
  return () => {
    cancelAnimationFrame(handle);
    camera.preset = undefined;
  };
}

const CAPTION = 20; // px under each tile
const HEMISPHERE = [192, 134]; // mm that a side view needs
const DEEP = [150, 188]; // and the glass brain from above

/**
 * Tiles of one panel: where on the panel (CSS px), which hemispheres, from where, how large.
 * The overview shows each hemisphere from outside and inside, and the deep parcels in a glass
 * brain; turning one tile turns all, mirrored between the hemispheres.
 */
export function layoutTiles(camera, rect, { glass, hasDeep }) {
  if (camera.view === "overview") return overview(camera, rect, hasDeep);
  const preset = camera.preset ?? PRESETS[camera.view];
  const [width, height] = preset.box;
  const fit = Math.min(rect.width / width, (rect.height - CAPTION) / (glass ? Math.max(height, 148) : height)); // cerebellum
  return [{
    rect, glass,
    pxPerMm: fit * camera.zoom,
    centre: [rect.x + rect.width / 2, rect.y + (rect.height - CAPTION) / 2],
    hemispheres: preset.hemispheres,
    alone: preset.hemispheres.length === 1 && !glass,
    gap: glass ? 0 : 2.5,
    yaw: preset.yaw + camera.yaw,
    pitch: clampPitch(preset.pitch + camera.pitch),
    turn: 1,
    caption: preset.caption,
  }];
}

/** Scale (px per mm) and tile sizes of an arrangement: deep parcels between, below, or absent. */
function arrange(rect, where) {
  const tall = rect.height - 2 * CAPTION;
  if (where === "between") {
    const px = Math.min(rect.width / (2 * HEMISPHERE[0] + DEEP[0]), tall / (2 * HEMISPHERE[1]));
    const room = rect.width - 2 * px * HEMISPHERE[0];
    return { where, px, deepPx: Math.min(px * 1.15, room / DEEP[0], (rect.height - CAPTION) / DEEP[1]) };
  }
  const columns = rect.width / (2 * HEMISPHERE[0]);
  if (where === "absent") return { where, px: Math.min(columns, tall / (2 * HEMISPHERE[1])), deepPx: Infinity };
  const px = Math.min(columns, (tall - CAPTION) / (2 * HEMISPHERE[1] + 0.8 * DEEP[1]));
  const left = tall - CAPTION - px * 2 * HEMISPHERE[1];
  return { where, px, deepPx: Math.min(left / DEEP[1], rect.width / DEEP[0], px * 1.6) };
}

/** Height in px that the overview fills of a stage: where the width decides, a lower stage shows as much. */
export function overviewHeight(rect, hasDeep) {
  const { px, deepPx, where } = best(rect, hasDeep);
  return 2 * (px * HEMISPHERE[1] + CAPTION) + (where === "below" ? deepPx * DEEP[1] + CAPTION : 0);
}

function best(rect, hasDeep) {
  const choices = hasDeep ? ["between", "below"].map((where) => arrange(rect, where)) : [arrange(rect, "absent")];
  const worth = ({ px, deepPx }) => Math.min(px, 1.25 * deepPx);
  return choices.reduce((a, b) => (worth(b) > worth(a) ? b : a));
}

function overview(camera, rect, hasDeep) {
  const { px, deepPx, where } = best(rect, hasDeep), between = where === "between";
  const width = px * HEMISPHERE[0], height = px * HEMISPHERE[1] + CAPTION;
  const middle = between ? deepPx * DEEP[0] : 0;
  const deepHeight = where === "below" ? deepPx * DEEP[1] + CAPTION : 0;
  const x0 = rect.x + (rect.width - 2 * width - middle) / 2, x1 = x0 + width + middle;
  const y0 = rect.y + (rect.height - 2 * height - deepHeight) / 2, y1 = y0 + height;
  const tile = (x, y, w, h, rest) => ({
    rect: { x, y, width: w, height: h },
    centre: [x + w / 2, y + (h - CAPTION) / 2],
    gap: 0, turn: 1, glass: false, alone: true,
    pxPerMm: px * camera.zoom,
    ...rest,
  });
  const side = (x, y, h, yaw, caption) => tile(x, y, width, height, {
    hemispheres: [h], turn: h ? -1 : 1, caption,
    yaw: yaw + camera.yaw * (h ? -1 : 1), pitch: clampPitch(camera.pitch),
  });
  const tiles = [
    side(x0, y0, 0, -90, "Left lateral"), side(x1, y0, 1, 90, "Right lateral"),
    side(x0, y1, 0, 90, "Left medial"), side(x1, y1, 1, -90, "Right medial"),
  ];
  if (!hasDeep) return tiles;
  const [x, y, w, h] = between
    ? [x0 + width, y0, middle, 2 * height]
    : [rect.x, y1 + height, rect.width, deepHeight];
  tiles.push(tile(x, y, w, h, {
    hemispheres: BOTH, glass: true, alone: false, caption: "Deep, from above",
    pxPerMm: deepPx * camera.zoom,
    yaw: camera.yaw, pitch: clampPitch(90 + camera.pitch),
  }));
  return tiles;
}
