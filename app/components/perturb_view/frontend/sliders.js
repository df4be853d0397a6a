// The column beside the brain: what is asked, one slider per group of parcels, when, and what came out.

import { element, number } from "../brainlm-explorer.brain_view/colour.js";

const option = (value, text) => Object.assign(element("option", "", text), { value });
const seconds = (value) => `${number(Number(value.toFixed(1)))}\u2009s`;

export class Sliders {
  /** `on`: drag(), release(), undo(), redo(), reset(), keep(), clear(), link(), pick(parcel), drop(id). */
  constructor(on) {
    this.on = on;
    this.root = element("aside", "pv-side");
    this.root.setAttribute("aria-label", "Scenario");
    this.status = element("p", "pv-status");
    this.status.setAttribute("role", "status");
    this.status.append(element("b"), element("span"));
    this.bar = this.#buildBar();
    this.list = element("div", "pv-list");
    this.search = this.#buildSearch();
    this.settings = this.#buildSettings();
    this.root.append(this.bar, this.status, this.list, this.search, this.settings);
    this.rows = new Map();
  }

  #buildBar() {
    const bar = element("div", "pv-bar");
    const add = (name, label, title, action) => {
      const button = element("button", "pv-button", label);
      Object.assign(button, { type: "button", title });
      button.addEventListener("click", action);
      bar.append(button);
      this[name] = button;
    };
    add("undo", "Undo", "Undo (Ctrl+Z)", () => this.on.undo());
    add("redo", "Redo", "Redo (Ctrl+Shift+Z)", () => this.on.redo());
    add("reset", "Reset", "All sliders to neutral", () => this.on.reset());
    add("keep", "Keep as A", "Keep this scenario and compare the next one with it", () => this.on.keep());
    add("clear", "Clear A", "Stop comparing", () => this.on.clear());
    add("link", "Copy link", "Copy an address that opens this scenario, camera included", () => this.on.link());
    return bar;
  }

  #buildSettings() {
    const root = element("div", "pv-settings");
    this.onset = this.#slider("Onset", "onset_s", seconds);
    this.duration = this.#slider("Duration", "duration_s", (v) => (this.toTheEnd ? "to the end" : seconds(v)));
    root.append(this.onset.root, this.duration.root);
    const choose = (name, label, action) => {
      const box = element("label", "pv-choice");
      const select = element("select");
      select.addEventListener("change", action);
      box.append(element("span", "", label), select);
      root.append(box);
      this[name] = select;
    };
    choose("kind", "Sliders", () => this.on.changeAll({ kind: this.kind.value }));
    this.frequency = this.#slider("Frequency", "frequency_hz", (v) => `${number(Number(v.toFixed(3)))}\u2009Hz`);
    root.append(this.frequency.root);
    choose("readout", "Answer for", () => this.on.ask({ readout: this.readout.value }));
    return root;
  }

  #slider(label, field, words) {
    const root = element("label", "pv-row");
    const input = element("input");
    input.type = "range";
    input.setAttribute("aria-label", label);
    const out = element("output");
    const read = () => { out.textContent = words(input.valueAsNumber); };
    input.addEventListener("input", () => { this.toTheEnd = false; read(); });
    input.addEventListener("change", () => this.on.changeAll({ [field]: input.valueAsNumber }));
    root.append(element("span", "pv-name", label), input, out);
    return {
      root,
      set: (value, low, high, step) => {
        Object.assign(input, { min: low, max: high, step });
        input.value = value;
        read();
      },
    };
  }

  #buildSearch() {
    const box = element("label", "pv-choice pv-search");
    const input = element("input");
    input.setAttribute("list", "pv-parcels");
    input.placeholder = "Add a parcel: type a name, or click the brain";
    this.names = element("datalist");
    this.names.id = "pv-parcels";
    input.addEventListener("change", () => {
      const parcel = this.byName?.get(input.value.trim().toLowerCase());
      if (parcel === undefined) {
        this.say(input.value ? [`No parcel is called ${input.value}.`, "Choose one from the list, or click the brain."] : ["", ""]);
        return;
      }
      input.value = "";
      this.on.pick(parcel);
    });
    box.append(input, this.names);
    return box;
  }

  /** [what it is, more about it]; the same words again are not read out again. */
  say([what, more]) {
    const [bold, rest] = this.status.children;
    if (bold.textContent !== what) bold.textContent = what;
    if (rest.textContent !== more) rest.textContent = more;
  }

  setParcels(names) {
    this.byName = new Map(names.map((name, i) => [name.toLowerCase(), i]));
    this.names.replaceChildren(...names.map((name) => option(name, "")));
  }

  fillChoices({ kinds, readouts }) {
    this.kinds = kinds;
    this.fill(this.kind, Object.fromEntries(Object.entries(kinds).map(([key, { label }]) => [key, label])));
    this.fill(this.readout, readouts);
  }

  /** Gives a list its entries {value: words}; one that is open in somebody's hand is left alone when nothing changed. */
  fill(select, entries, value = select.value) {
    const text = JSON.stringify(entries);
    if (select.dataset.entries !== text) {
      select.dataset.entries = text;
      select.replaceChildren(...Object.entries(entries).map(([key, words]) => option(key, words)));
    }
    if (select.value !== value) select.value = value;
  }

  /** Draws all rows of a state; a slider in the hand is left alone. */
  show(state, limits) {
    const { kind, frequency_hz: frequency, onset_s: onset, duration_s: duration } = state.common;
    this.kind.value = kind;
    this.readout.value = state.readout;
    this.frequency.root.hidden = kind !== "sine";
    this.frequency.set(frequency, 0.01, limits.max_frequency, 0.005);
    this.onset.set(onset, 0, limits.seen_s, limits.tr);
    this.toTheEnd = duration === null;
    this.duration.set(duration ?? limits.seen_s - onset, limits.tr, limits.seen_s, limits.tr);
    const keep = new Set();
    state.rows.forEach((row) => {
      keep.add(row.id);
      const known = this.rows.get(row.id) ?? this.#newRow(row);
      this.#setRow(known, row);
    });
    for (const [id, known] of this.rows) {
      if (keep.has(id)) continue;
      known.root.remove();
      this.rows.delete(id);
    }
  }

  #newRow(row) {
    const root = element("div", "pv-row");
    const name = element("span", "pv-name");
    const swatch = element("i", "pv-swatch");
    swatch.style.background = row.colour;
    name.append(swatch, element("span", "", row.label));
    name.title = `${row.label}, ${row.parcels.length} parcel${row.parcels.length > 1 ? "s" : ""}`;
    const input = element("input");
    input.type = "range";
    input.dataset.row = row.id;
    input.setAttribute("aria-label", row.label);
    const out = element("output");
    root.append(name, input, out);
    if (row.removable) {
      const drop = element("button", "pv-drop", "×");
      Object.assign(drop, { type: "button", title: `Remove ${row.label}` });
      drop.setAttribute("aria-label", `Remove ${row.label}`);
      drop.addEventListener("click", () => this.on.drop(row.id));
      root.append(drop);
    }
    const known = { root, input, out, row };
    input.addEventListener("pointerdown", () => { known.held = true; });
    input.addEventListener("input", () => {
      known.row.value = input.valueAsNumber;
      this.#words(known);
      this.on.drag();
    });
    input.addEventListener("change", () => { known.held = false; this.on.release(); });
    input.addEventListener("dblclick", () => {
      known.row.value = this.kinds[known.row.kind].neutral;
      input.value = known.row.value;
      this.#words(known);
      this.on.drag();
      this.on.release();
    });
    this.rows.set(row.id, known);
    this.list.append(root);
    return known;
  }

  #setRow(known, row) {
    known.row = row;
    known.input.disabled = Boolean(row.blocked);
    known.root.title = row.blocked;
    known.root.classList.toggle("pv-waiting", !row.nodes.length);
    if (known.held) {
      row.value = known.input.valueAsNumber;
      return;
    }
    const { low, high, step } = this.kinds[row.kind];
    Object.assign(known.input, { min: low, max: high, step });
    known.input.value = row.value;
    this.#words(known);
  }

  #valueInWords(kind, { value, blocked }) {
    if (blocked) return "–";
    if (kind.switch) return value ? "on" : "off";
    if (kind.jump && value === kind.neutral) return "off";
    return `${value > 0 && kind.low < 0 ? "+" : ""}${number(value)}\u2009${kind.unit}`;
  }

  #words({ row, input, out, root }) {
    const kind = this.kinds[row.kind];
    const text = this.#valueInWords(kind, row);
    out.textContent = text;
    input.setAttribute("aria-valuetext", text);
    root.classList.toggle("pv-active", row.value !== kind.neutral);
    const span = kind.high - kind.low;
    const zero = ((kind.neutral - kind.low) / span) * 100, at = ((row.value - kind.low) / span) * 100;
    input.style.setProperty("--zero", `${zero}%`);
    input.style.setProperty("--from", `${Math.min(zero, at)}%`);
    input.style.setProperty("--to", `${Math.max(zero, at)}%`);
  }

  setBar({ undo, redo, active, comparing }) {
    this.undo.disabled = !undo;
    this.redo.disabled = !redo;
    this.reset.disabled = !active;
    this.keep.disabled = !active;
    this.clear.hidden = !comparing;
    this.keep.textContent = comparing ? "New A" : "Keep as A";
  }
}
