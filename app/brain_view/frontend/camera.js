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

const BOTH = [0, 1];
/** Views of one brain: from where, which hemispheres, size of the frame in mm. */
export const PRESETS = {
  left: { label: "Left", yaw: -90, pitch: 0, hemispheres: BOTH, box: [192, 138], caption: "Left, from outside" },
  right: { label: "Right", yaw: 90, pitch: 0, hemispheres: BOTH, box: [192, 138], caption: "Right, from outside" },
  "left-medial": { label: "Left inner", yaw: 90, pitch: 0, hemispheres: [0], box: [192, 138], caption: "Left, inner side" },
  "right-medial": { label: "Right inner", yaw: -90, pitch: 0, hemispheres: [1], box: [192, 138], caption: "Right, inner side" },
  top: { label: "Top", yaw: 0, pitch: 90, hemispheres: BOTH, box: [176, 192], caption: "From above, front is up" },
  bottom: { label: "Below", yaw: 180, pitch: -90, hemispheres: BOTH, box: [176, 192], caption: "From below, front is up" },
  front: { label: "Front", yaw: 180, pitch: 0, hemispheres: BOTH, box: [176, 138], caption: "From the front" },
  back: { label: "Back", yaw: 0, pitch: 0, hemispheres: BOTH, box: [176, 138], caption: "From behind" },
};

/** A camera as the visitor left it: the view, turned by (yaw, pitch), zoomed and moved (mm). */
export const newCamera = (view) => ({ view, yaw: 0, pitch: 0, zoom: 1, pan: [0, 0] });
export const isMoved = (camera) =>
  Math.abs(camera.yaw) + Math.abs(camera.pitch) > 0.5 || Math.abs(camera.zoom - 1) > 0.01 || Math.hypot(...camera.pan) > 0.5;

const clampPitch = (pitch) => Math.max(-90, Math.min(90, pitch));

/**
 * Tiles of one panel: where on the panel (CSS px), which hemispheres, from where, how large.
 * The overview shows each hemisphere from outside and inside, and the deep parcels in a glass
 * brain; turning one tile turns all, mirrored between the hemispheres.
 */
export function layoutTiles(camera, rect, { glass, hasDeep }) {
  if (camera.view !== "overview") {
    const preset = camera.preset ?? PRESETS[camera.view];
    const pxPerMm = Math.min(rect.width / preset.box[0], rect.height / preset.box[1]) * 0.97 * camera.zoom;
    return [{
      rect, pxPerMm, glass,
      hemispheres: preset.hemispheres,
      alone: preset.hemispheres.length === 1 && !glass,
      gap: glass ? 0 : 2.5,
      yaw: preset.yaw + camera.yaw,
      pitch: clampPitch(preset.pitch + camera.pitch),
      turn: 1,
      caption: preset.caption,
    }];
  }
  const wide = rect.width / rect.height > 1.25;
  const rows = wide || !hasDeep ? 2 : 2 + 192 / (2 * 138);
  const columns = wide && hasDeep ? 2 + 158 / 192 : 2;
  const [hemisphereWidth, hemisphereHeight] = [rect.width / columns, rect.height / rows];
  const px = Math.min(hemisphereWidth / 192, hemisphereHeight / 138, hasDeep && wide ? rect.height / 196 : Infinity);
  const rightX = rect.x + rect.width - hemisphereWidth;
  const tile = (x, y, h, yaw, caption) => ({
    rect: { x, y, width: hemisphereWidth, height: hemisphereHeight },
    pxPerMm: px * 0.97 * camera.zoom,
    hemispheres: [h],
    alone: true,
    gap: 0,
    yaw: yaw + camera.yaw * (h ? -1 : 1),
    pitch: clampPitch(camera.pitch),
    turn: h ? -1 : 1,
    caption,
  });
  const tiles = [
    tile(rect.x, rect.y, 0, -90, "Left, outside"),
    tile(rightX, rect.y, 1, 90, "Right, outside"),
    tile(rect.x, rect.y + hemisphereHeight, 0, 90, "Left, inside"),
    tile(rightX, rect.y + hemisphereHeight, 1, -90, "Right, inside"),
  ];
  if (hasDeep) {
    const deep = wide
      ? { x: rect.x + hemisphereWidth, y: rect.y, width: rect.width - 2 * hemisphereWidth, height: rect.height }
      : { x: rect.x, y: rect.y + 2 * hemisphereHeight, width: rect.width, height: rect.height - 2 * hemisphereHeight };
    const deepPx = Math.min(deep.width / 158, deep.height / 196, px * 1.25);
    tiles.push({
      rect: deep,
      pxPerMm: deepPx * 0.97 * camera.zoom,
      hemispheres: BOTH,
      glass: true,
      alone: false,
      gap: 0,
      yaw: camera.yaw,
      pitch: clampPitch(90 + camera.pitch),
      turn: 1,
      caption: "Deep, from above",
    });
  }
  return tiles;
}
