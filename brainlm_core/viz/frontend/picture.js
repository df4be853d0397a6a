// The drawing of a view: a map of what lies where, kept until the camera or the surface changes.

import { boxesOf } from "./places.js";
import { buildSurface } from "./surface.js";

const REST_MS = 200; // without a GPU the camera moves over a coarse map; a fine one follows its rest

export class Picture {
  /** `onRest()` when a finer map should be drawn. Throws where a program cannot be made. */
  constructor(renderer, tables, parcellation, onRest) {
    this.renderer = renderer;
    this.tables = tables;
    this.onRest = onRest;
    tables.surface ??= buildSurface(tables); // the same for all views of this tab
    this.renderer.setSurface(tables.surface);
    this.setParcellation(parcellation);
    this.renderer.finish(); // last: the programs are made beside the work above
  }

  setParcellation(parcellation) {
    this.parcellation = parcellation;
    this.renderer.setParcellation(parcellation);
    this.forget();
  }

  setColours(panel, rgba) {
    this.renderer.setColours(panel, rgba);
  }

  /** Camera, surface or size changed. */
  forget() {
    this.mapped = false;
    this.fine = !this.ever; // the first map is a fine one
    this.idBuffer = null;
    this.boxes = new Map();
  }

  /** Demands the best map for the next drawing. */
  refine() {
    this.mapped = false;
    this.fine = true;
  }

  #project(panels, look) {
    if (this.mapped) return;
    const coarse = this.renderer.software && !this.fine;
    this.renderer.project(panels, look, coarse);
    Object.assign(this, { mapped: true, ever: true });
    clearTimeout(this.rest);
    if (!coarse) return;
    this.rest = setTimeout(() => {
      this.refine(); // same parcels at the same places: what the pointer knows stays valid
      this.onRest();
    }, REST_MS);
  }

  /** Parcel numbers per CSS px, {data, width, height}, read once per map. */
  ids(panels, look, { width, height }) {
    if (!this.idBuffer) {
      this.#project(panels, look);
      this.idBuffer = this.renderer.readIds(width, height);
    }
    return this.idBuffer;
  }

  /** Draws; `marks` are parcels to outline, [[parcel or null, width in CSS px]]. */
  draw(panels, look, ink, marks) {
    this.#project(panels, look);
    const known = marks.filter(([parcel]) => parcel !== null);
    this.renderer.draw(panels, {
      pixels: look.pixels, ink, marks: known.map(([parcel, width]) => ({ parcel, width, boxes: this.#boxes(parcel, panels, look) })),
    });
  }

  #boxes(parcel, panels, look) {
    if (!this.boxes.has(parcel)) {
      this.boxes.set(parcel, panels.map(({ tiles }) => boxesOf(parcel, tiles, look, this.tables, this.parcellation)));
    }
    return this.boxes.get(parcel);
  }

  destroy() {
    clearTimeout(this.rest);
    this.renderer.destroy();
  }
}
