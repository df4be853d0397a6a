// Pure functions of the drawing: colour scale, transport, camera, picking, sums of responses, clock.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

// Colours as CSS writes them are read from a canvas, which only a browser has: six digits are enough here.
globalThis.OffscreenCanvas = class {
  getContext() {
    const context = { clearRect() {}, fillRect() {} };
    context.getImageData = () => ({ data: [1, 3, 5].map((i) => parseInt(context.fillStyle.slice(i, i + 2), 16)) });
    return context;
  }
};
const LOOK = "../../brainlm_core/viz/frontend", PERTURB = "../../app/components/perturb_view/frontend";
const { ColourScale, number } = await import(`${LOOK}/colour.js`);
const { sameBytes, unpack } = await import(`${LOOK}/transport.js`);
const { SCENE_CENTRE, canFly, hemisphereShift, isMoved, layoutTiles, newCamera, overviewHeight, viewMatrix } = await import(`${LOOK}/camera.js`);
const { boxesOf, towards } = await import(`${LOOK}/places.js`);
const { Clock } = await import(`${LOOK}/clock.js`);
const { Bank, difference } = await import(`${PERTURB}/sums.js`);
const { pack } = await import(`${PERTURB}/pack.js`);

const GREYS = Uint8Array.from({ length: 256 * 3 }, (_, i) => Math.floor(i / 3));
const TABLES = {
  header: { no_data: { light: "#010203" }, no_parcel: { light: "#040506" } },
  arrays: { sequential: GREYS, diverging: GREYS },
};
const scaleOf = (values, rest = {}) =>
  new ColourScale({ kind: "sequential", unit: "SD", limits: [0, 2], categories: [], ...rest }, values, TABLES, "light");
const close = (a, b, about = 1e-5) => assert.ok(Math.abs(a - b) <= about, `${a} is not ${b}`);

test("numbers have three digits and a true minus sign", () => {
  assert.deepEqual([0, 1.23456, -0.5, 123456, NaN].map(number), ["0", "1.23", "\u22120.5", "1.2e+5", "no data"]);
});

test("a scale spreads its colours over its limits and ends in its end colours", () => {
  const scale = scaleOf([-1, 0, 1, 2, 3, NaN]), out = new Uint8Array(7 * 4);
  scale.fill(Float32Array.of(-1, 0, 1, 2, 3, NaN), out);
  const red = [0, 1, 2, 3, 4].map((i) => out[i * 4]);
  assert.deepEqual(red, [0, 0, 128, 255, 255]);
  assert.deepEqual([...out.slice(20, 24)], [1, 2, 3, 0], "no data has its own colour and alpha 0");
  assert.deepEqual([...out.slice(24)], [4, 5, 6, 255], "the cut surface comes last");
  assert.ok(scale.below && scale.above && scale.hasGaps);
  assert.ok(!scaleOf([0, 2]).below && !scaleOf([0, 2]).above && !scaleOf([0, 2]).hasGaps);
});

test("a category is drawn in its colour, alone when the pointer rests on it", () => {
  const categories = [["Visual", "#FF0000"], ["Limbic", "#00FF00"]];
  const scale = scaleOf([0, 1], { kind: "categories", categories }), out = new Uint8Array(12);
  scale.fill(Float32Array.of(0, 1), out);
  assert.deepEqual([...out.slice(0, 8)], [255, 0, 0, 255, 0, 255, 0, 255]);
  scale.only = 1;
  scale.fill(Float32Array.of(0, 1), out);
  assert.deepEqual([...out.slice(0, 8)], [4, 5, 6, 255, 0, 255, 0, 255]);
  assert.equal(scale.words(1), "Limbic");
});

test("a scale's words and places are those of its values", () => {
  const scale = scaleOf([0, 2], { kind: "diverging", limits: [-2, 2] });
  assert.deepEqual(scale.ticks(), [-2, 0, 2]);
  assert.deepEqual([-9, 0, 1, 9].map((v) => scale.position(v)), [0, 0.5, 0.75, 1]);
  assert.equal(scale.words(0.5), "0.5\u2009SD");
  assert.equal(scale.words(NaN), "no data");
});

test("what is packed is read again, wherever the message starts", () => {
  const packed = pack({ title: "é" }, { a: Float32Array.of(1, -2.5), b: Float32Array.of(NaN) });
  for (const shift of [0, 1, 3]) {
    const buffer = new Uint8Array(packed.length + shift);
    buffer.set(packed, shift);
    const { header, arrays } = unpack(buffer.subarray(shift));
    assert.equal(header.title, "é");
    assert.deepEqual([...arrays.a], [1, -2.5]);
    assert.ok(Number.isNaN(arrays.b[0]));
  }
  assert.ok(sameBytes(packed, packed.slice()) && !sameBytes(packed, packed.slice(1)) && !sameBytes(null, packed));
});

test("the container that Python writes is read here", { skip: !process.env.PACKED }, () => {
  const { header, arrays } = unpack(new Uint8Array(readFileSync(process.env.PACKED)));
  assert.equal(header.title, "Ångström");
  assert.deepEqual([...arrays.steps], [-128, 0, 127]);
  assert.deepEqual([...arrays.values], [0.5, -1.5]);
  assert.deepEqual([...arrays.labels], [0, 65535]);
});

test("views look from where they say", () => {
  const apply = (m, [x, y, z]) => [0, 1, 2].map((k) => m[k] * x + m[3 + k] * y + m[6 + k] * z);
  const front = [0, 1, 0], right = [1, 0, 0], top = [0, 0, 1];
  const behind = viewMatrix(0, 0), above = viewMatrix(0, 90), left = viewMatrix(-90, 0);
  close(apply(behind, right)[0], 1); // the right hand is right from behind
  close(apply(behind, front)[2], -1); // the front is far away
  close(apply(above, top)[2], 1); // the top is near from above
  close(apply(above, front)[1], 1); // and the front is up
  close(apply(left, front)[0], -1); // from the left, the front is left
  for (const m of [behind, above, left, viewMatrix(33, -20)]) {
    for (const v of [front, right, top]) close(Math.hypot(...apply(m, v)), 1);
  }
});

test("hemispheres stand in place in the glass brain and apart elsewhere", () => {
  const about = { centre: [[-30, -18, 10], [32, -18, 10]], inflated_half_width: [40, 40] };
  assert.deepEqual(hemisphereShift(about, 0, 0, { gap: 0, glass: true, alone: false }), [-30, -18 - SCENE_CENTRE[1], 0]);
  assert.deepEqual(hemisphereShift(about, 1, 1, { gap: 2.5, glass: false, alone: false }), [42.5, 0, 0]);
  assert.deepEqual(hemisphereShift(about, 1, 0, { gap: 9, glass: false, alone: true }), [0, 0, 0]);
});

test("the overview holds all tiles within its stage, mirrored between the hemispheres", () => {
  const camera = { ...newCamera("overview"), yaw: 10 };
  for (const rect of [{ x: 0, y: 0, width: 900, height: 480 }, { x: 5, y: 7, width: 340, height: 700 }]) {
    const tiles = layoutTiles(camera, rect, { glass: false, hasDeep: true });
    assert.equal(tiles.length, 5);
    for (const { rect: r } of tiles) {
      assert.ok(r.x >= rect.x - 1 && r.y >= rect.y - 1 && r.width > 0 && r.height > 0);
      assert.ok(r.x + r.width <= rect.x + rect.width + 1 && r.y + r.height <= rect.y + rect.height + 1);
    }
    assert.equal(tiles[0].yaw, -80);
    assert.equal(tiles[1].yaw, 80);
    assert.ok(overviewHeight(rect, true) <= rect.height + 1);
  }
  assert.equal(layoutTiles(camera, { x: 0, y: 0, width: 9e2, height: 480 }, { glass: false, hasDeep: false }).length, 4);
  assert.ok(!isMoved(newCamera("left")) && isMoved(camera));
  assert.ok(canFly("left", "top") && !canFly("left", "left-medial") && !canFly("overview", "left"));
});

test("arrow keys move to the nearest parcel on that side", () => {
  const width = 40, height = 40, data = new Uint8Array(width * height * 4);
  const paint = (id, x0, y0) => {
    for (let y = y0; y < y0 + 8; y += 1) for (let x = x0; x < x0 + 8; x += 1) data[((height - 1 - y) * width + x) * 4] = id;
  };
  paint(1, 0, 16); paint(2, 16, 16); paint(3, 32, 16); paint(4, 16, 0);
  const tiles = [{ rect: { x: 0, y: 0, width, height } }], ids = { data, width, height };
  const from = { parcel: 1, x: 19, y: 19 };
  const to = (direction) => towards(from, direction, ids, tiles, 4)?.parcel ?? null;
  assert.deepEqual([[-1, 0], [1, 0], [0, -1], [0, 1]].map(to), [0, 2, 3, null]);
});

test("the box of a deep parcel surrounds its place, and a tile that cannot show it has none", () => {
  const surface = { header: { n_vertices: 1 }, arrays: {} };
  const parcels = { arrays: { labels: [-1, -1], deep: [1], position: SCENE_CENTRE }, header: { hemisphere: ["L"] } };
  const tile = { glass: true, gap: 0, yaw: 0, pitch: 0, centre: [100, 50], pxPerMm: 2, hemispheres: [0, 1] };
  const [box] = boxesOf(0, [tile], { pan: [0, 0], morph: 0 }, surface, parcels);
  close(box.x + box.width / 2, 100);
  close(box.y + box.height / 2, 50);
  assert.deepEqual(boxesOf(0, [{ ...tile, hemispheres: [], glass: false }], { pan: [0, 0], morph: 0 }, surface, parcels), []);
});

test("responses between two strengths lie on a line, and rows add up", () => {
  const row = { nodes: [{ value: 1, at: 0 }, { value: 3, at: 1 }], parcels: [2] };
  assert.deepEqual(Bank.weights(row, 0, 0), []);
  assert.deepEqual(Bank.weights(row, 0.5, 0), [[0, 0.5]]);
  assert.deepEqual(Bank.weights(row, 2, 0), [[0, 0.5], [1, 0.5]]);
  assert.deepEqual(Bank.weights(row, 5, 0), [[0, -1], [1, 2]], "beyond the last strength the last line goes on");
  const bank = new Bank(Float32Array.of(1, 2, 0, 3, 6, 0), Int8Array.of(10, -128, 0, 20, 5, 0), Float32Array.of(0.1, 0.5), 3, 1);
  const effect = new Float32Array(3), frames = new Float32Array(3);
  const two = { nodes: [{ value: 1, at: 0 }], parcels: [] };
  assert.ok(bank.sum([{ row, value: 2, neutral: 0 }, { row: two, value: 1, neutral: 0 }], effect, frames));
  assert.deepEqual([...effect], [3, 6, NaN], "what is perturbed has no response");
  close(frames[0], 0.5 * 1 + 0.5 * 10 + 1);
  assert.ok(Number.isNaN(frames[1]), "no answer in one part is no answer in the sum");
  assert.ok(!bank.sum([{ row: { nodes: [], parcels: [] }, value: 1, neutral: 0 }], effect, frames));
});

test("two answers are compared over what both know", () => {
  assert.deepEqual(difference([1, NaN, 3], [1, 2, 1]), { gap: Math.sqrt(2), size: 1 });
  assert.equal(difference([NaN], [1]), null);
});

test("the clock stays within its frames and says its times", () => {
  globalThis.cancelAnimationFrame = () => {};
  const seen = [], clock = new Clock((frame) => seen.push(frame), () => {});
  clock.configure(3, [0, 2, 4]);
  [9, -4, 1.4].forEach((frame) => clock.seek(frame));
  clock.step(2);
  assert.deepEqual(seen, [2, 0, 1, 0]);
  assert.equal(clock.words(1), "2.00\u2009s");
  clock.configure(2, null);
  assert.equal(clock.words(), "1 of 2");
  assert.equal(clock.speed, 10);
});
