// Mouse, pen, touch and keys on one panel: turn, zoom, move, point at, pick.

import { towards } from "./places.js";

const CLICK_PX = 5; // a press that moves less is a click

export class Pointer {
  constructor(view, index) {
    this.view = view;
    this.index = index;
    this.pointers = new Map();
    const { stage } = this.panel;
    stage.addEventListener("pointerdown", (event) => this.#down(event));
    stage.addEventListener("pointermove", (event) => this.#move(event));
    stage.addEventListener("pointerup", (event) => this.#up(event));
    stage.addEventListener("pointercancel", (event) => this.#forget(event));
    stage.addEventListener("pointerleave", (event) => {
      if (!this.pointers.has(event.pointerId)) view.hover(null);
    });
    stage.addEventListener("wheel", (event) => this.#wheel(event), { passive: false });
    stage.addEventListener("blur", () => view.hover(null));
    stage.addEventListener("keydown", (event) => this.#key(event));
    stage.addEventListener("contextmenu", (event) => { if (this.panned) event.preventDefault(); });
  }

  get panel() {
    return this.view.panels[this.index]; // made anew by every message
  }

  #local(event) {
    const box = this.view.grid.getBoundingClientRect();
    return { x: event.clientX - box.x, y: event.clientY - box.y };
  }

  #tile(event) {
    const { x, y } = this.#local(event);
    const inside = ({ rect }) => x >= rect.x && x <= rect.x + rect.width && y >= rect.y && y <= rect.y + rect.height;
    return this.panel.tiles.find(inside) ?? this.panel.tiles[0];
  }

  #down(event) {
    if (event.button > 2) return;
    this.pointers.set(event.pointerId, { x: event.clientX, y: event.clientY });
    this.panel.stage.setPointerCapture(event.pointerId);
    if (this.pointers.size > 1) {
      this.moved = true; // two fingers never pick
      return;
    }
    this.moved = false;
    this.panned = false;
    this.start = { x: event.clientX, y: event.clientY };
    this.grabbed = this.#tile(event);
  }

  #move(event) {
    const before = this.pointers.get(event.pointerId);
    if (!before) {
      this.#point(event);
      return;
    }
    const dx = event.clientX - before.x, dy = event.clientY - before.y;
    if (!this.moved && Math.hypot(event.clientX - this.start.x, event.clientY - this.start.y) < CLICK_PX) return;
    if (!this.moved) this.view.hover(null);
    this.moved = true;
    if (this.pointers.size === 2) this.#pinch(event, before, dx, dy);
    else if (event.buttons & 2 || event.shiftKey) {
      this.panned = true;
      this.view.panBy(dx, dy, this.grabbed);
    } else this.view.turnBy(dx, dy, this.grabbed);
    this.pointers.set(event.pointerId, { x: event.clientX, y: event.clientY });
  }

  #pinch(event, before, dx, dy) {
    const [other] = [...this.pointers].filter(([id]) => id !== event.pointerId).map(([, p]) => p);
    const was = Math.hypot(before.x - other.x, before.y - other.y);
    const is = Math.hypot(event.clientX - other.x, event.clientY - other.y);
    if (was > 10) this.view.zoomBy(is / was);
    this.view.panBy(dx / 2, dy / 2, this.grabbed);
  }

  #up(event) {
    const known = this.pointers.has(event.pointerId);
    this.#forget(event);
    if (!known || this.moved || event.button !== 0) return;
    const { x, y } = this.#local(event);
    const parcel = this.view.parcelAt(x, y);
    if (parcel !== null) {
      this.view.hover(parcel, event.pointerType === "touch" ? { x: event.clientX, y: event.clientY } : this.view.hoverPoint);
      this.view.pick(parcel);
    }
  }

  #forget(event) {
    this.pointers.delete(event.pointerId);
  }

  /** Looks under the pointer at most once a frame: software WebGL answers slowly. */
  #point(event) {
    if (event.pointerType === "touch") return;
    this.last = event;
    this.asked ??= requestAnimationFrame(() => {
      this.asked = null;
      const { x, y } = this.#local(this.last);
      const parcel = this.view.parcelAt(x, y);
      this.panel.stage.classList.toggle("bv-over", parcel !== null && this.view.header.pickable);
      this.view.hover(parcel, { x: this.last.clientX, y: this.last.clientY });
    });
  }

  #wheel(event) {
    // A plain wheel scrolls the page; with Ctrl or Cmd (a pinch on a trackpad sends that) it zooms.
    if (!event.ctrlKey && !event.metaKey) return;
    event.preventDefault();
    this.view.zoomBy(Math.exp(-Math.max(-60, Math.min(60, event.deltaY)) * 0.008));
  }

  #key(event) {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const { view } = this, { clock } = view;
    const arrow = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    const timed = clock.nFrames > 1;
    if (arrow && event.shiftKey) view.turnBy(arrow[0] * 20, arrow[1] * 20, this.panel.tiles[0]);
    else if (timed && event.key === "ArrowLeft") clock.step(-1);
    else if (timed && event.key === "ArrowRight") clock.step(1);
    else if (timed && event.key === " ") clock.toggle();
    else if (timed && event.key === "Home") { clock.pause(); clock.seek(0); }
    else if (timed && event.key === "End") { clock.pause(); clock.seek(clock.nFrames - 1); }
    else if (arrow && !timed) this.#walk(arrow);
    else if (event.key === "Enter" && view.hovered !== null) view.pick(view.hovered);
    else if (event.key === "+" || event.key === "=") view.zoomBy(1.25);
    else if (event.key === "-") view.zoomBy(0.8);
    else if (event.key === "0") view.lookFrom(view.state.camera.view);
    else if (event.key === "Escape" && view.picked !== null) view.pick(view.picked);
    else return;
    event.preventDefault();
    event.stopPropagation(); // Streamlit has shortcuts of its own
  }

  /** Moves from parcel to parcel and reads each out. */
  #walk(direction) {
    const { view } = this;
    const found = towards(this.at?.parcel === view.hovered ? this.at : null, direction, view.ids(), this.panel.tiles, view.nParcels);
    if (!found) return;
    this.at = found;
    const box = view.grid.getBoundingClientRect();
    view.hover(found.parcel, { x: box.x + found.x, y: box.y + found.y });
    view.live.textContent = view.describe(found.parcel);
  }
}
