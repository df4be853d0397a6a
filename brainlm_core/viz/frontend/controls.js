// The row above the brains: views, surface, outlines, glass, export.

import { element } from "./colour.js";
import { PRESETS } from "./camera.js";

const icon = (path) =>
  `<svg viewBox="0 0 20 20" width="18" height="18" fill="none" stroke="currentColor" stroke-width="1.6" stroke-linecap="round" stroke-linejoin="round" aria-hidden="true">${path}</svg>`;

export const ICONS = {
  play: icon('<path d="M6 3.8 16 10 6 16.2Z" fill="currentColor"/>'),
  pause: icon('<path d="M6.5 4v12M13.5 4v12" stroke-width="3"/>'),
  back: icon('<path d="M13.5 5 8 10l5.5 5Z" fill="currentColor"/><path d="M5.5 5v10"/>'),
  forth: icon('<path d="M6.5 5 12 10l-5.5 5Z" fill="currentColor"/><path d="M14.5 5v10"/>'),
  outline: icon('<path d="M3 10c0-4 3-7 7-7s7 3 7 7-3 7-7 7-7-3-7-7Z"/><path d="M10 3v5l-4 3 1.5 5M10 8l4.5 2.5L17 10"/>'),
  glass: icon('<path d="M3 10c0-4 3-7 7-7s7 3 7 7-3 7-7 7-7-3-7-7Z"/><circle cx="8" cy="9.5" r="1.6" fill="currentColor" stroke="none"/><circle cx="12.2" cy="9.5" r="1.6" fill="currentColor" stroke="none"/><circle cx="10.1" cy="13" r="1.6" fill="currentColor" stroke="none"/>'),
  reset: icon('<path d="M4.5 8a6 6 0 1 1-.4 3.5"/><path d="M4 4v4h4"/>'),
  save: icon('<path d="M10 3v9M6.5 8.5 10 12l3.5-3.5M4 16.5h12"/>'),
  full: icon('<path d="M4 8V4h4M12 4h4v4M16 12v4h-4M8 16H4v-4"/>'),
};

export function iconButton(content, label, onClick) {
  const button = element("button", "bv-button");
  button.type = "button";
  button.innerHTML = content;
  button.title = label;
  button.setAttribute("aria-label", label);
  button.addEventListener("click", onClick);
  return button;
}

export class Toolbar {
  /** `actions`: view(name), morph(0–1), outlines(bool), glass(bool), reset(), save(), full(). */
  constructor(actions) {
    this.root = element("div", "bv-toolbar");
    this.root.setAttribute("role", "toolbar");
    this.root.setAttribute("aria-label", "Brain view");
    this.views = element("div", "bv-views");
    this.views.setAttribute("role", "group");
    this.views.setAttribute("aria-label", "Look from");
    this.viewButtons = {};
    for (const [name, label] of [["overview", "All sides"], ...Object.entries(PRESETS).map(([k, p]) => [k, p.label])]) {
      const button = element("button", "bv-view", label);
      button.type = "button";
      button.addEventListener("click", () => actions.view(name));
      this.viewButtons[name] = button;
      this.views.append(button);
    }
    this.reset = iconButton(ICONS.reset, "Undo turning and zoom", actions.reset);
    const surface = element("label", "bv-morph");
    surface.title = "Surface: folded to inflated";
    this.morph = element("input");
    Object.assign(this.morph, { type: "range", min: 0, max: 100, step: 1 });
    this.morph.setAttribute("aria-label", "Surface, from folded to inflated");
    this.morph.addEventListener("input", () => actions.morph(this.morph.valueAsNumber / 100));
    surface.append(element("span", "", "Folded"), this.morph, element("span", "", "Inflated"));
    this.outlines = iconButton(ICONS.outline, "Parcel outlines", () => actions.outlines());
    this.glass = iconButton(ICONS.glass, "Glass brain: see the deep parcels", () => actions.glass());
    this.save = iconButton(ICONS.save, "Save as PNG", actions.save);
    this.full = iconButton(ICONS.full, "Full screen", actions.full);
    this.full.hidden = !document.fullscreenEnabled;
    const tools = element("div", "bv-tools");
    tools.append(surface, this.outlines, this.glass, this.reset, this.save, this.full);
    this.root.append(this.views, tools);
  }

  refresh({ camera, morph, outlines, glass, hasDeep, moved }) {
    for (const [name, button] of Object.entries(this.viewButtons)) {
      button.setAttribute("aria-pressed", String(name === camera.view));
    }
    this.morph.value = Math.round(morph * 100);
    const single = camera.view !== "overview";
    this.morph.disabled = single && glass; // glass shows the folded surface, where the deep parcels are in place
    this.outlines.setAttribute("aria-pressed", String(outlines));
    this.glass.hidden = !hasDeep || !single;
    this.glass.setAttribute("aria-pressed", String(glass));
    this.reset.disabled = !moved;
  }
}
