// One brain view: panels, camera and clock on one canvas. Draws only when something changed.

import { canFly, fly, isMoved, layoutTiles, newCamera, overviewHeight } from "./camera.js";
import { Clock } from "./clock.js";
import { ColourScale, css, element, parseColour } from "./colour.js";
import { Toolbar } from "./controls.js";
import { exportPng } from "./export.js";
import { buildPanel, placeCaptions, stageHeight } from "./panel.js";
import { Picture } from "./picture.js";
import { Pointer } from "./pointer.js";
import { Renderer } from "./renderer.js";
import { Timeline } from "./timeline.js";
import { Tooltip } from "./tooltip.js";
import { fetchConstant, sameBytes, unpack } from "./transport.js";

// What a visitor did with a view outlives reruns, remounts and page changes within this tab.
const memory = new Map();
const reducedMotion = () => matchMedia("(prefers-reduced-motion: reduce)").matches;
const MAX_PIXELS = 9e6; // of the canvas; above, fewer device pixels per CSS pixel are drawn

export class BrainView {
  constructor(parent) {
    this.parent = parent;
    this.stats = { frames: 0, scriptMs: [], draws: 0, messages: 0 };
    this.hovered = null;
    this.picked = null;
    this.pickNumber = 0;
    this.pending = 0;
    this.#buildFrame();
    this.observer = new ResizeObserver(() => this.#resized());
    this.observer.observe(this.root);
  }

  #buildFrame() {
    this.root = element("div", "bv");
    this.root.style.visibility = "hidden"; // until the style sheet is there and says otherwise
    this.root.brainView = this; // for tests and benchmarks
    this.clock = new Clock((frame) => this.#frameChanged(frame), () => this.#stateChanged());
    this.toolbar = new Toolbar({
      view: (name) => this.lookFrom(name),
      morph: (value) => { this.state.morph = value; this.#looksDifferent(); },
      outlines: () => { this.state.outlines = !this.state.outlines; this.#looksDifferent(); },
      glass: () => { this.state.glass = !this.state.glass; this.#looksDifferent(); },
      reset: () => this.lookFrom(this.state.camera.view),
      save: () => exportPng(this),
      full: () => (document.fullscreenElement ? document.exitFullscreen() : this.root.requestFullscreen()),
    });
    this.timeline = new Timeline(this.clock);
    this.grid = element("div", "bv-panels");
    this.canvas = element("canvas", "bv-canvas");
    this.canvas.setAttribute("aria-hidden", "true");
    this.message = element("div", "bv-message", "Loading the brain surface");
    this.message.setAttribute("role", "status");
    this.live = element("div", "bv-live");
    this.live.setAttribute("aria-live", "polite");
    this.root.append(this.toolbar.root, this.grid, this.timeline.root, this.live);
    this.tooltip = new Tooltip(this.root);
    this.parent.append(this.root);
    this.canvas.addEventListener("webglcontextlost", (event) => {
      event.preventDefault();
      this.picture = this.renderer = null;
      this.#say("The graphics memory was taken away; waiting to draw again");
    });
    this.canvas.addEventListener("webglcontextrestored", () => this.#startDrawing());
  }

  connect(send) {
    this.send = send;
  }

  /** Takes a message from Python; the same message again changes nothing but the theme. */
  async update(bytes) {
    const themed = this.#readTheme();
    if (sameBytes(bytes, this.bytes)) {
      if (themed && this.panels) this.#rebuildPanels();
      return;
    }
    this.bytes = bytes;
    this.stats.messages += 1;
    const { header, arrays } = unpack(bytes);
    this.#prepareDrawing();
    try {
      const [surface, parcellation] = await Promise.all([fetchConstant(header.surface), fetchConstant(header.parcellation)]);
      if (this.bytes !== bytes || this.destroyed) return; // a newer message overtook this one
      this.#apply(header, arrays, surface, parcellation);
    } catch (error) {
      console.error(error);
      this.#say("The brain surface could not be loaded; reload the page");
    }
  }

  #apply(header, arrays, surface, parcellation) {
    this.tables = surface;
    this.header = header;
    this.panels = header.panels.map((panel, i) => ({ ...panel, kind: panel.scale, values: arrays[`panel${i}`] }));
    this.nParcels = parcellation.header.names.length;
    this.hasDeep = parcellation.arrays.deep.some(Boolean);
    const onItsWay = header.pick_number < this.pickNumber && performance.now() - this.pickedAt < 3000;
    if (!onItsWay) this.picked = header.picked; // else Python has not heard of the last click yet
    if (this.parcellation !== parcellation) {
      this.parcellation = parcellation;
      this.picture?.setParcellation(parcellation);
      this.hovered = null;
    }
    if (!this.state) this.#recall(header);
    const nFrames = Math.max(...this.panels.map((panel) => panel.n_frames));
    this.clock.configure(nFrames, header.times);
    this.state.frame = this.clock.frame;
    this.root.style.setProperty("--bv-height", `${header.height}px`);
    this.#rebuildPanels();
    this.timeline.configure(header.seen_until);
    if (!this.picture && !this.failed) this.#startDrawing();
    if (this.autoplay) {
      this.autoplay = false;
      this.clock.play();
    }
  }

  #recall(header) {
    const known = memory.get(header.key);
    this.state = known ?? {
      camera: newCamera(header.view), morph: header.inflation, outlines: true, glass: false,
      frame: header.start_frame, playing: header.autoplay && !reducedMotion(), speed: null,
    };
    memory.set(header.key, this.state);
    this.clock.frame = this.state.frame;
    this.clock.speed = this.state.speed;
    this.autoplay = this.state.playing;
  }

  #readTheme() {
    const style = getComputedStyle(this.root);
    const read = (name, fallback) => parseColour(style.getPropertyValue(name).trim() || fallback);
    const paper = read("--st-background-color", "#fff"), ink = read("--st-text-color", "#15202b");
    const theme = 0.299 * paper[0] + 0.587 * paper[1] + 0.114 * paper[2] < 128 ? "dark" : "light";
    const changed = theme !== this.theme || css(paper) !== css(this.paper ?? [0, 0, 0]);
    Object.assign(this, { paper, ink, theme });
    this.root.dataset.theme = theme;
    return changed;
  }

  /** Titles, stages and legends of all panels; the canvas lies behind them. */
  #rebuildPanels() {
    this.rgba = new Uint8Array(256 * Math.ceil((this.nParcels + 1) / 256) * 4);
    const old = this.drawnPanels?.length === this.panels.length ? this.drawnPanels : [];
    if (!old.length) this.grid.replaceChildren(this.canvas, this.message);
    this.panels.forEach((panel, i) => {
      panel.scale = new ColourScale(panel, panel.values, this.tables, this.theme);
      buildPanel(panel, old[i], this.clock.nFrames > 1, (only) => {
        this.panels[i].scale.only = only;
        this.#colour(i);
        this.invalidate();
      });
      panel.pointer ??= new Pointer(this, i);
      if (!old[i]) this.grid.append(panel.root);
    });
    this.drawnPanels = this.panels;
    this.message.hidden = Boolean(this.picture);
    this.#resized();
    this.#recolour();
    this.#stateChanged();
  }

  /** The graphics programs are made while surface and parcels travel. */
  #prepareDrawing() {
    if (this.picture || this.renderer || this.failed) return;
    try {
      this.renderer = new Renderer(this.canvas);
    } catch {
      this.renderer = null; // #startDrawing meets the same error, once there is a place to say so
    }
  }

  #startDrawing() {
    try {
      const started = performance.now();
      const renderer = this.renderer ?? new Renderer(this.canvas);
      this.renderer = null;
      this.picture = new Picture(renderer, this.tables, this.parcellation, () => this.invalidate());
      this.stats.prepareMs = performance.now() - started;
    } catch (error) {
      this.picture = null;
      this.failed = true;
      console.error(error);
      this.#say("This browser cannot draw in 3-D (WebGL 2 is missing or switched off); a simpler picture is used instead");
      this.send.status("webgl-missing");
      return;
    }
    this.message.hidden = true;
    this.#recolour();
    this.layout = null;
    this.#resized();
  }

  #say(text) {
    this.message.textContent = text;
    this.message.hidden = false;
  }

  // --- what changed -> what to redo -------------------------------------------------------

  frameValues(panel, frame = this.clock.frame) {
    const at = panel.n_frames === 1 ? 0 : frame;
    return panel.values.subarray(at * this.nParcels, (at + 1) * this.nParcels);
  }

  #colour(i) {
    const panel = this.panels[i];
    panel.scale.fill(this.frameValues(panel), this.rgba);
    this.picture?.setColours(i, this.rgba);
  }

  #recolour() {
    this.panels.forEach((_, i) => this.#colour(i));
    this.#showHovered();
    this.invalidate();
  }

  #frameChanged(frame) {
    const started = performance.now();
    this.state.frame = frame;
    this.panels.forEach((panel, i) => { if (panel.n_frames > 1) this.#colour(i); });
    this.timeline.refresh();
    this.#showHovered();
    this.invalidate();
    this.stats.frames += 1;
    this.frameMs = performance.now() - started;
  }

  #stateChanged() {
    if (!this.state) return;
    Object.assign(this.state, { playing: this.clock.playing, speed: this.clock.speed });
    this.timeline.refresh();
    this.#refreshToolbar();
  }

  #refreshToolbar() {
    const { camera, morph, outlines, glass } = this.state;
    this.toolbar.refresh({ camera, morph, outlines, glass, hasDeep: this.hasDeep, moved: isMoved(camera) });
  }

  /** Camera or surface changed: what lies under the pointer is no longer known. */
  #looksDifferent() {
    this.picture?.forget();
    this.#placeTiles();
    this.#refreshToolbar();
    this.invalidate();
  }

  // --- layout ----------------------------------------------------------------------------

  #resized() {
    if (!this.panels || this.destroyed) return;
    const width = this.root.clientWidth;
    if (!width) return;
    const columns = width / this.panels.length >= 270 ? this.panels.length : 1;
    this.grid.style.setProperty("--bv-columns", columns);
    this.root.classList.toggle("bv-narrow", width < 640);
    this.root.classList.toggle("bv-several", this.panels.length > 1);
    const wanted = document.fullscreenElement ? window.innerHeight - 220 : this.header.height;
    const overview = this.state.camera.view === "overview", each = (width - (columns - 1) * 16) / columns;
    const most = stageHeight(each, wanted, overview && this.hasDeep);
    const needed = overview ? overviewHeight({ width: each, height: most }, this.hasDeep) : most;
    const height = Math.min(most, Math.ceil(needed));
    this.panels.forEach((panel) => { panel.stage.style.height = `${height}px`; });
    const box = this.grid.getBoundingClientRect();
    this.size = { width: Math.ceil(box.width), height: Math.ceil(box.height) };
    this.pixels = Math.min(window.devicePixelRatio || 1, Math.sqrt(MAX_PIXELS / (this.size.width * this.size.height)), 3);
    this.#placeTiles();
    const [w, h] = [Math.round(this.size.width * this.pixels), Math.round(this.size.height * this.pixels)];
    if (this.canvas.width !== w || this.canvas.height !== h) Object.assign(this.canvas, { width: w, height: h });
    this.canvas.style.width = `${this.size.width}px`;
    this.canvas.style.height = `${this.size.height}px`;
    const layout = JSON.stringify([w, h, this.state.camera.view, this.panels.map(({ rect }) => rect)]);
    if (layout === this.layout) return; // new values in the same places
    this.layout = layout;
    this.picture?.forget();
    this.drawNow(); // a resized canvas is blank: wait for no frame
  }

  #placeTiles() {
    const origin = this.grid.getBoundingClientRect();
    const { camera, glass } = this.state;
    for (const panel of this.panels) {
      const box = panel.stage.getBoundingClientRect();
      panel.rect = { x: box.x - origin.x, y: box.y - origin.y, width: box.width, height: box.height };
      panel.tiles = layoutTiles(camera, panel.rect, { glass, hasDeep: this.hasDeep });
      placeCaptions(panel, isMoved({ ...camera, zoom: 1, pan: [0, 0] }));
    }
  }

  // --- camera ----------------------------------------------------------------------------

  /** Goes to a view, in a short turn where both views show the whole brain. */
  lookFrom(name) {
    this.stopFlight?.();
    const before = this.state.camera;
    this.state.camera = newCamera(name);
    if ((before.view === "overview") !== (name === "overview")) this.#resized(); // the heights differ
    if (reducedMotion() || !canFly(before.view, name)) this.#looksDifferent();
    else this.stopFlight = fly(before, this.state.camera, () => this.#looksDifferent());
  }

  turnBy(dx, dy, tile) {
    const { camera } = this.state;
    camera.yaw += dx * 0.45 * (tile?.turn ?? 1);
    camera.pitch = Math.max(-180, Math.min(180, camera.pitch + dy * 0.45));
    this.#looksDifferent();
  }

  zoomBy(factor) {
    const { camera } = this.state;
    camera.zoom = Math.max(0.6, Math.min(8, camera.zoom * factor));
    this.#looksDifferent();
  }

  panBy(dx, dy, tile) {
    const { camera } = this.state;
    camera.pan = [camera.pan[0] + dx / tile.pxPerMm, camera.pan[1] - dy / tile.pxPerMm];
    this.#looksDifferent();
  }

  // --- parcels ---------------------------------------------------------------------------

  ids() {
    return this.picture.ids(this.panels, this.look(), this.size);
  }

  /** Parcel at a point of the grid in CSS px, or null. */
  parcelAt(x, y) {
    if (!this.picture) return null;
    const { width, height } = this.size, { data } = this.ids();
    const column = Math.floor(x), row = height - 1 - Math.floor(y);
    if (column < 0 || row < 0 || column >= width || row >= height) return null;
    const at = (row * width + column) * 4;
    const id = data[at] + 256 * data[at + 1] - 1;
    return id < 0 || id >= this.nParcels ? null : id;
  }

  hover(parcel, point = null) {
    this.hoverPoint = point;
    const changed = parcel !== this.hovered;
    this.hovered = parcel;
    this.#showHovered();
    if (changed) this.invalidate();
  }

  /** Chooses a parcel, or none when it was chosen already, and tells Python. */
  pick(parcel) {
    if (!this.header.pickable) return;
    this.picked = parcel === this.picked ? null : parcel;
    this.live.textContent = this.picked === null ? "No parcel picked" : `Picked ${this.describe(this.picked)}`;
    this.#showHovered();
    this.invalidate();
    this.pickNumber += 1;
    this.pickedAt = performance.now();
    this.send.pick({ parcel: this.picked ?? -1, frame: this.clock.frame, number: this.pickNumber });
  }

  describe(parcel) {
    const { names, groups } = this.parcellation.header;
    const values = this.panels.map((panel) => panel.scale.words(this.frameValues(panel)[parcel]));
    return `${names[parcel]}, ${groups[parcel]}: ${values.join("; ")}`;
  }

  #showHovered() {
    const shown = this.hovered ?? this.picked;
    this.panels.forEach((panel) => panel.legend?.mark?.(shown === null ? null : this.frameValues(panel)[shown]));
    if (this.hovered === null || !this.hoverPoint) {
      this.tooltip.hide();
      return;
    }
    const { names, groups } = this.parcellation.header;
    const values = this.panels.map((panel) => ({
      title: panel.title, words: panel.scale.words(this.frameValues(panel)[this.hovered]),
    }));
    this.tooltip.show(names[this.hovered], groups[this.hovered], values, this.hoverPoint);
  }

  // --- drawing ---------------------------------------------------------------------------

  look() {
    const { morph, outlines, camera } = this.state;
    return { morph, outline: outlines ? 1 : 0, zoom: camera.zoom, pan: camera.pan, pixels: this.pixels };
  }

  invalidate() {
    if (this.pending || this.destroyed) return;
    this.pending = requestAnimationFrame(() => {
      this.pending = 0;
      this.drawNow();
    });
  }

  drawNow() {
    if (!this.picture || !this.panels?.[0]?.tiles) return;
    const started = performance.now();
    const { picked, hovered } = this;
    const marks = [[picked, 2.2], [hovered === picked ? null : hovered, 1.4]];
    this.picture.draw(this.panels, this.look(), this.ink.map((v) => v / 255), marks);
    this.stats.draws += 1;
    this.stats.scriptMs.push((this.frameMs ?? 0) + performance.now() - started);
    if (this.stats.scriptMs.length > 2000) this.stats.scriptMs.splice(0, 1000);
    this.frameMs = 0;
    this.root.dataset.drawn = String(this.stats.draws);
  }

  destroy() {
    this.destroyed = true;
    this.clock.pause();
    this.state && (this.state.playing = false);
    cancelAnimationFrame(this.pending);
    this.stopFlight?.();
    this.observer.disconnect();
    (this.picture ?? this.renderer)?.destroy();
    this.picture = this.renderer = null;
    this.root.remove();
  }
}
