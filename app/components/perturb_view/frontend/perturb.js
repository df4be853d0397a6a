// Sliders and brains together. While a slider is dragged nothing leaves the browser: the picture is the sum
// of single responses. On release the scenario goes to the server, and its exact answer takes the place.

import { BrainView } from "../brainlm-explorer.brain_view/view.js";
import { element } from "../brainlm-explorer.brain_view/colour.js";
import { fetchConstant, sameBytes, unpack } from "../brainlm-explorer.brain_view/transport.js";
import { choices, offered, panel, show, shown } from "./maps.js";
import { Sliders } from "./sliders.js";
import { inWords } from "./status.js";
import { Bank, difference } from "./sums.js";

// What a visitor did outlives reruns, remounts and page changes within this tab.
const memory = new Map();
const clone = (state) => structuredClone(state);
const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);
/** What makes two states different questions. */
const asked = ({ rows, common, readout }) => ({
  rows: rows.map(({ id, kind, value, onset_s, duration_s, ramp_s, frequency_hz }) => ({ id, kind, value, onset_s, duration_s, ramp_s, frequency_hz })),
  common, readout,
});
/** Whether responses to `a` at other values are responses to `b`. */
const alike = (a, b) => a && b && ["kind", "onset_s", "duration_s", "ramp_s", "frequency_hz"].every((key) => a[key] === b[key]);

export class PerturbView {
  constructor(parent) {
    this.stats = { dragMs: [], drags: 0, messages: 0 };
    this.root = element("div", "pv");
    this.root.perturbView = this; // for tests and benchmarks
    const stage = element("div", "pv-stage"), left = element("div", "pv-brain");
    this.map = element("select");
    this.map.addEventListener("change", () => { this.kept.map = this.map.value; this.#draw(); });
    const choose = element("label", "pv-choice pv-map");
    this.mapLabel = choose.appendChild(element("span"));
    choose.append(this.map);
    left.append(stage, choose);
    this.side = new Sliders({
      drag: () => this.#drag(),
      release: () => this.#release(),
      undo: () => this.#travel(-1),
      redo: () => this.#travel(1),
      reset: () => this.#edit((state) => state.rows.forEach((row) => { row.value = this.#neutral(row); })),
      changeAll: (changes) => this.#changeAll(changes),
      ask: (changes) => this.#edit((state) => Object.assign(state, changes)),
      keep: () => { this.kept.a = this.#scenario(); this.#send(); },
      clear: () => { this.kept.a = null; this.#send(); this.#draw(); },
      link: () => this.#copyLink(),
      pick: (parcel) => this.#addParcel(parcel),
      drop: (id) => this.#edit((state) => { state.rows = state.rows.filter((row) => row.id !== id); }),
    });
    this.root.append(left, this.side.root);
    parent.append(this.root);
    this.observer = new ResizeObserver(() => {
      const before = this.width;
      this.width = this.root.clientWidth;
      if (this.header && this.width && (before < 700) !== (this.width < 700)) this.#draw();
    });
    this.observer.observe(this.root);
    this.brain = new BrainView(stage);
    this.brain.connect({
      pick: ({ parcel }) => { if (parcel >= 0) this.#addParcel(parcel); },
      status: (text) => this.send.status(text),
    });
    this.root.addEventListener("keydown", (event) => {
      if (!(event.ctrlKey || event.metaKey) || event.key.toLowerCase() !== "z") return;
      event.preventDefault();
      this.#travel(event.shiftKey ? 1 : -1);
    });
  }

  connect(send) {
    this.send = send;
  }

  async update(bytes) {
    if (sameBytes(bytes, this.bytes)) {
      if (this.brain.bytes) this.brain.update(this.brain.bytes); // a change of theme
      return;
    }
    this.bytes = bytes;
    this.stats.messages += 1;
    const { header, arrays } = unpack(bytes);
    const parcellation = await fetchConstant(header.parcellation);
    if (this.bytes !== bytes || this.destroyed) return;
    this.#take(header, arrays, parcellation);
  }

  #take(header, arrays, parcellation) {
    const known = memory.get(header.key);
    const fresh = !known || known.identity !== header.identity;
    this.kept = fresh ? { identity: header.identity, serial: header.serial, past: [], next: [], map: "", a: header.a } : known;
    memory.set(header.key, this.kept);
    this.header = header;
    this.arrays = arrays;
    this.nParcels = parcellation.header.names.length;
    this.nFrames = header.frame_times.length;
    this.bank = new Bank(arrays.bank_effects, arrays.bank_frames, arrays.bank_scales, this.nParcels, this.nFrames);
    if (this.named !== parcellation) {
      this.named = parcellation;
      this.side.setParcels(parcellation.header.names);
    }
    if (this.kept.serial <= header.serial) this.#adopt(header); // else the visitor has gone on meanwhile
    this.#takeResponses();
    this.side.fillChoices(header);
    this.side.show(this.kept.state, header.limits);
    this.#draw();
    if (fresh && header.camera) this.#restoreCamera(header.camera);
  }

  /** Takes the sliders from the server where they came from outside: at first, from a link, from a file. */
  #adopt(header) {
    const { kept } = this;
    kept.serial = header.serial;
    if (kept.state && header.replaced === kept.replaced) return;
    if (kept.last) {
      kept.past.push(kept.last); // a scenario file can be undone like any other step
      kept.next = [];
    }
    kept.state = { rows: header.rows, common: header.common, readout: header.readout };
    kept.last = clone(kept.state);
    kept.replaced = header.replaced;
  }

  /** Responses are the server's, values the visitor's. */
  #takeResponses() {
    const { rows, readout } = this.kept.state;
    for (const row of rows) {
      const match = this.header.rows.find(({ id }) => id === row.id);
      const own = readout === this.header.readout && alike(match, row);
      Object.assign(row, { nodes: own ? match.nodes : [], blocked: own ? match.blocked : "" });
    }
  }

  // --- states ------------------------------------------------------------------------------

  #neutral(row) {
    return this.header.kinds[row.kind].neutral;
  }

  #active() {
    return this.kept.state.rows
      .map((row) => ({ row, value: row.value, neutral: this.#neutral(row) }))
      .filter(({ value, neutral }) => value !== neutral);
  }

  #scenario() {
    const actions = this.#active().map(({ row, value }) => {
      const { key } = this.header.kinds[row.kind];
      const action = { targets: row.targets, kind: row.kind, onset_s: row.onset_s, duration_s: row.duration_s, ramp_s: row.ramp_s };
      if (key) action[key] = value;
      if (row.kind === "sine") action.frequency_hz = row.frequency_hz;
      return action;
    });
    return actions.length ? { ...this.header.base, actions, readout: this.kept.state.readout } : null;
  }

  /** Changes the state by hand of `change`, as one step of undo, and asks the server. */
  #edit(change) {
    change(this.kept.state);
    this.side.show(this.kept.state, this.header.limits);
    this.#draw();
    this.#release();
  }

  #changeAll(changes) {
    this.#edit((state) => {
      Object.assign(state.common, changes);
      const { limits, kinds } = this.header, { common } = state;
      common.onset_s = Math.min(common.onset_s, limits.seen_s - limits.tr);
      if (common.duration_s !== null) common.duration_s = Math.min(common.duration_s, limits.seen_s - common.onset_s);
      for (const row of state.rows) {
        if (changes.kind) row.value = kinds[changes.kind].neutral;
        Object.assign(row, changes, { onset_s: common.onset_s, duration_s: common.duration_s });
        if (row.duration_s !== null && 2 * row.ramp_s > row.duration_s) row.ramp_s = 0;
        Object.assign(row, { nodes: [], blocked: "" }); // other responses
      }
    });
  }

  #addParcel(parcel) {
    const id = `p${parcel + 1}`;
    if (!this.kept.state.rows.some((row) => row.id === id)) {
      const { common } = this.kept.state;
      this.#edit((state) => state.rows.push({
        id, label: this.named.header.names[parcel], colour: "var(--accent)", targets: { parcels: [parcel + 1] },
        parcels: [parcel], removable: true, nodes: [], blocked: "", kind: common.kind, value: this.header.kinds[common.kind].neutral,
        onset_s: common.onset_s, duration_s: common.duration_s, ramp_s: 0, frequency_hz: common.frequency_hz,
      }));
    }
    this.side.rows.get(id)?.input.focus();
  }

  #release() {
    const { kept } = this;
    if (kept.last && same(asked(kept.last), asked(kept.state))) return;
    if (kept.last) {
      kept.past.push(kept.last);
      kept.next = [];
      if (kept.past.length > 100) kept.past.shift();
    }
    kept.last = clone(kept.state);
    this.#send();
  }

  #travel(by) {
    const { kept } = this;
    const [from, to] = by < 0 ? [kept.past, kept.next] : [kept.next, kept.past];
    if (!from.length) return;
    to.push(clone(kept.state));
    kept.state = from.pop();
    kept.last = clone(kept.state);
    this.#takeResponses();
    this.side.show(kept.state, this.header.limits);
    this.#draw();
    this.#send();
  }

  #send() {
    this.kept.serial += 1;
    this.#draw(); // the first-order picture until the exact one comes
    const extra = this.kept.state.rows.filter(({ id }) => id.startsWith("p")).map((row) => row.parcels[0] + 1);
    this.send.release({
      serial: this.kept.serial, scenario: this.#scenario(), extra, a: this.kept.a,
      common: this.kept.state.common, readout: this.kept.state.readout, camera: this.#camera(),
    });
  }

  // --- picture -----------------------------------------------------------------------------

  #drag() {
    const started = performance.now();
    this.#draw(true);
    this.stats.drags += 1;
    this.stats.dragMs.push(performance.now() - started);
    if (this.stats.dragMs.length > 2000) this.stats.dragMs.splice(0, 1000);
  }

  /** Chooses exact or first-order values and shows them. */
  #draw(dragging = false) {
    const { header, arrays, nParcels: p, nFrames: f, kept } = this;
    const exact = !dragging && header.exact && header.serial === kept.serial;
    if (this.effect?.length !== p) this.effect = new Float32Array(p);
    if (this.frames?.length !== p * f) this.frames = new Float32Array(p * f);
    const active = this.#active();
    const complete = this.bank.sum(active, this.effect, this.frames);
    const now = { effect: this.effect, frames: this.frames, first: null };
    this.interaction = null;
    if (exact) {
      if (complete && active.length) {
        now.first = this.effect.slice();
        this.interaction = difference(arrays.first_effect, now.first);
      }
      this.effect.set(arrays.exact_effect);
      this.frames.set(arrays.exact_frames);
    }
    const comparing = Boolean(kept.a && header.a_ready);
    const change = comparing ? difference(this.effect, arrays.a_effect) : null;
    this.root.dataset.picture = exact ? "exact" : "first-order";
    this.side.say(inWords({ exact, dragging, complete, active: active.length, interaction: this.interaction, change, header }));
    this.side.setBar({ undo: kept.past.length, redo: kept.next.length, active: active.length, comparing: Boolean(kept.a) });
    this.#show(now, choices({ header, comparing, first: now.first, active: active.length }));
  }

  #show(now, maps) {
    const { header, arrays, nFrames, kept } = this, names = Object.keys(maps);
    const width = (this.width ||= this.root.clientWidth || 1000);
    const chosen = shown(names, kept.map, width);
    this.root.dataset.moving = chosen.includes("time"); // on a phone the clock takes room only where something moves
    this.mapLabel.textContent = chosen.length > 1 ? "Right brain" : "Brain";
    this.side.fill(this.map, Object.fromEntries(offered(names, width).map((name) => [name, maps[name]])), chosen.at(-1));
    const panels = chosen.map((name) => panel(name, { header, arrays, now, nFrames }));
    this.layout = show(this.brain, panels, { header, nFrames, width, before: this.layout });
  }

  // --- camera and link ---------------------------------------------------------------------

  #camera() {
    const state = this.brain.state;
    if (!state) return null;
    const { view, yaw, pitch, zoom, pan } = state.camera;
    return [view, ...[yaw, pitch, zoom, ...pan, state.morph].map((v) => Number(v.toFixed(3)))].join(",");
  }

  async #restoreCamera(text) {
    const [view, ...rest] = text.split(",");
    const [yaw, pitch, zoom, panX, panY, morph] = rest.map(Number);
    for (let i = 0; i < 200 && !this.brain.state; i += 1) await new Promise((resolve) => { setTimeout(resolve, 50); });
    if (!this.brain.state || this.destroyed) return;
    this.brain.lookFrom(view);
    this.brain.stopFlight?.();
    Object.assign(this.brain.state.camera, { yaw, pitch, zoom, pan: [panX, panY] });
    this.brain.state.morph = morph;
    this.brain.zoomBy(1);
  }

  async #copyLink() {
    const address = new URL(window.location.href);
    address.search = new URLSearchParams({ ...this.header.share, c: this.#camera() ?? "" }).toString();
    this.link = address.href;
    try {
      await navigator.clipboard.writeText(this.link);
      this.side.say(["Link copied.", "It carries the scenario and the camera, not the scan."]);
    } catch {
      this.side.say(["Copy this address:", this.link]);
    }
  }

  destroy() {
    this.destroyed = true;
    this.observer.disconnect();
    this.brain.destroy();
    this.root.remove();
  }
}
