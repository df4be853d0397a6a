// Values to colours, numbers to words, and the bar that explains them.

/** Red, green, blue (0–255) of any colour CSS can write. */
export function parseColour(text) {
  const context = (parseColour.context ??= new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true }));
  context.clearRect(0, 0, 1, 1);
  context.fillStyle = text;
  context.fillRect(0, 0, 1, 1);
  return [...context.getImageData(0, 0, 1, 1).data.slice(0, 3)];
}

export const css = ([r, g, b]) => `rgb(${r} ${g} ${b})`;

/** Three significant digits, a real minus sign. */
export function number(value) {
  if (!Number.isFinite(value)) return "no data";
  if (value === 0) return "0";
  const size = Math.abs(value);
  const text = size >= 1e5 || size < 1e-3 ? value.toExponential(1) : String(Number(value.toPrecision(3)));
  return text.replace("-", "\u2212");
}

/** How one panel turns values into colours. */
export class ColourScale {
  constructor(panel, values, tables, theme) {
    this.kind = panel.kind;
    this.unit = panel.unit;
    [this.low, this.high] = panel.limits;
    this.gap = panel.gap ?? "no data"; // what a missing value means here
    this.names = panel.categories.map(([name]) => name);
    this.theme = theme;
    this.noData = parseColour(tables.header.no_data[theme]);
    this.noParcel = parseColour(tables.header.no_parcel[theme]);
    this.table = this.kind === "categories"
      ? Uint8Array.from(panel.categories.flatMap(([, colour]) => parseColour(colour)))
      : tables.arrays[this.kind];
    this.only = null; // category that the pointer rests on in the legend
    this.hasGaps = false;
    let low = Infinity, high = -Infinity;
    for (const value of values) {
      if (value !== value) this.hasGaps = true;
      else { if (value < low) low = value; if (value > high) high = value; }
    }
    const slack = 1e-4 * (this.high - this.low);
    this.below = this.kind !== "categories" && low < this.low - slack;
    this.above = this.kind !== "categories" && high > this.high + slack;
  }

  /** Writes one frame as RGBA, four bytes a parcel, the cut surface last; alpha 0 marks no data. */
  fill(values, out) {
    const { table, low, only, noData } = this;
    const category = this.kind === "categories", top = table.length / 3 - 1, span = top / (this.high - low);
    const n = values.length;
    for (let i = 0; i < n; i += 1) {
      const value = values[i], o = i * 4;
      if (value !== value) {
        out[o] = noData[0]; out[o + 1] = noData[1]; out[o + 2] = noData[2]; out[o + 3] = 0;
        continue;
      }
      let k = category ? value : Math.round((value - low) * span);
      k = k < 0 ? 0 : k > top ? top : k;
      const source = only !== null && k !== only ? this.noParcel : null;
      out[o] = source ? source[0] : table[k * 3];
      out[o + 1] = source ? source[1] : table[k * 3 + 1];
      out[o + 2] = source ? source[2] : table[k * 3 + 2];
      out[o + 3] = 255;
    }
    out.set([...this.noParcel, 255], n * 4);
  }

  /** A value in words, with its unit. */
  words(value) {
    if (value !== value) return this.gap;
    if (this.kind === "categories") return this.names[value] ?? "";
    return this.unit ? `${number(value)}\u2009${this.unit}` : number(value);
  }

  /** Where a value lies on the bar, 0 to 1. */
  position(value) {
    return Math.max(0, Math.min(1, (value - this.low) / (this.high - this.low)));
  }

  ticks() {
    const middle = (this.low + this.high) / 2;
    return [this.low, this.kind === "diverging" ? 0 : middle, this.high];
  }

  gradient() {
    const stops = [];
    for (let i = 0; i <= 16; i += 1) {
      const k = Math.round((i / 16) * 255);
      stops.push(css(this.table.subarray(k * 3, k * 3 + 3)));
    }
    return `linear-gradient(90deg, ${stops.join(",")})`;
  }
}

/** The colour bar, or the legend, of one panel as an element; `mark(value)` points at a value. */
export function buildLegend(scale, onOnly) {
  const root = element("div", "bv-legend");
  if (scale.kind === "categories") {
    const list = element("ul", "bv-categories");
    scale.names.forEach((name, k) => {
      const item = element("li", "bv-category", name);
      const swatch = element("span", "bv-swatch");
      swatch.style.background = css(scale.table.subarray(k * 3, k * 3 + 3));
      item.prepend(swatch);
      item.addEventListener("pointerenter", () => onOnly(k));
      item.addEventListener("pointerleave", () => onOnly(null));
      list.append(item);
    });
    root.append(list);
  } else {
    const bar = element("div", "bv-bar");
    const ramp = element("div", "bv-ramp");
    ramp.style.background = scale.gradient();
    ramp.classList.toggle("bv-below", scale.below);
    ramp.classList.toggle("bv-above", scale.above);
    if (scale.below || scale.above) ramp.title = "Values beyond the ends are drawn in the end colours";
    const mark = element("div", "bv-mark");
    mark.hidden = true;
    ramp.append(mark);
    const ticks = element("div", "bv-ticks");
    scale.ticks().forEach((value, i) => {
      const sign = i === 0 && scale.below ? "\u2264\u2009" : i === 2 && scale.above ? "\u2265\u2009" : "";
      ticks.append(element("span", "", sign + number(value)));
    });
    bar.append(ramp, ticks);
    root.append(bar);
    if (scale.unit) root.append(element("span", "bv-unit", scale.unit));
    root.mark = (value) => {
      mark.hidden = value === null || value !== value;
      if (!mark.hidden) mark.style.left = `${scale.position(value) * 100}%`;
    };
  }
  if (scale.hasGaps) {
    const gap = element("span", "bv-category bv-gap", scale.gap);
    const swatch = element("span", "bv-swatch bv-hatched");
    swatch.style.backgroundColor = css(scale.noData);
    gap.prepend(swatch);
    root.append(gap);
  }
  return root;
}

export function element(tag, className = "", text = "") {
  const out = document.createElement(tag);
  if (className) out.className = className;
  if (text) out.textContent = text;
  return out;
}
