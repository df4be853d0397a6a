// A square matrix on a canvas: network bands left and on top, a colour bar on the right, hover, click, arrow keys.
const BAND = 10, LABEL = 96, BAR = 80;

const minus = (t) => t.replace("-", "\u2212");
const digits = (v) => minus(Math.abs(v) >= 100 ? v.toFixed(0) : Math.abs(v) >= 10 ? v.toFixed(1) : v.toFixed(2));

function paint(s) {
  const { canvas, data, image } = s;
  const narrow = canvas.clientWidth < 480;
  s.left = narrow ? BAND + 4 : LABEL + BAND;
  s.right = narrow ? BAR - 14 : BAR; // gap, bar, gap, and "≥ −0.80"
  const width = canvas.clientWidth, ratio = window.devicePixelRatio || 1;
  if (!width) return;
  s.side = Math.max(60, Math.min(width - s.left - s.right, 640));
  s.top = BAND + 4;
  const height = s.top + s.side + 4;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  canvas.style.height = height + "px";
  const style = getComputedStyle(canvas), text = style.color;
  const accent = style.getPropertyValue("--st-primary-color") || text;
  const g = canvas.getContext("2d");
  g.scale(ratio, ratio);
  g.imageSmoothingEnabled = s.side < data.n;
  g.drawImage(image, s.left, s.top, s.side, s.side);
  const cell = s.side / data.n;
  g.font = "12px " + style.fontFamily;
  g.textBaseline = "middle";
  g.textAlign = "right";
  let last = -99;
  for (const b of data.bands) {
    const a = b.start * cell, w = (b.stop - b.start) * cell;
    g.fillStyle = b.colour;
    g.fillRect(s.left - BAND - 2, s.top + a, BAND, w);
    g.fillRect(s.left + a, 0, w, BAND);
    g.strokeStyle = "rgba(128,128,128,.35)";
    g.lineWidth = 1;
    g.beginPath();
    g.moveTo(s.left, s.top + a); g.lineTo(s.left + s.side, s.top + a);
    g.moveTo(s.left + a, s.top); g.lineTo(s.left + a, s.top + s.side);
    g.stroke();
    const y = s.top + a + w / 2;
    if (!narrow && y - last >= 13) { g.fillStyle = text; g.fillText(b.name, s.left - BAND - 8, y); last = y; }
  }
  const x = s.left + s.side + 12, h = s.side;
  for (let i = 0; i < 128; i++) {
    const j = 3 * Math.round(((127 - i) / 127) * 255);
    g.fillStyle = `rgb(${s.lut[j]},${s.lut[j + 1]},${s.lut[j + 2]})`;
    g.fillRect(x, s.top + (i * h) / 128, 8, h / 128 + 0.6);
  }
  g.fillStyle = text;
  g.textAlign = "left";
  for (const f of [0, 0.5, 1]) {
    const v = data.limits[1] - f * (data.limits[1] - data.limits[0]);
    g.fillText((f === 0 ? "≥\u2009" : f === 1 && data.limits[0] < 0 ? "≤\u2009" : "") + digits(v), x + 12, s.top + Math.min(h - 7, Math.max(7, f * h)));
  }
  const row = s.row >= 0 ? s.row : data.picked;
  if (row >= 0) {
    g.strokeStyle = accent; g.lineWidth = 2;
    g.strokeRect(s.left - 1, s.top + row * cell - 1, s.side + 2, Math.max(cell, 2) + 2);
  }
  if (s.hover) {
    g.strokeStyle = text; g.lineWidth = 1;
    g.strokeRect(s.left + s.hover[1] * cell - 2, s.top + s.hover[0] * cell - 2, Math.max(cell, 2) + 4, Math.max(cell, 2) + 4);
  }
}

const band = (data, i) => (data.bands.find((b) => i >= b.start && i < b.stop) || { name: "" }).name;

function tell(s) {
  const { data } = s;
  if (s.hover) {
    const [q, k] = s.hover, v = data.low + (data.span * s.raw[q * data.n + k]) / 65535;
    s.say.textContent = `${data.names[q]} (${band(data, q)}) → ${data.names[k]} (${band(data, k)}): ${digits(v)} ${data.unit}`;
  } else {
    const row = s.row >= 0 ? s.row : data.picked;
    s.say.textContent = row >= 0
      ? `Marked row: ${data.names[row]} (${band(data, row)})`
      : `Unit: ${data.unit}. Click a row to see it on the brain.`;
  }
}

function cellAt(s, e) {
  const r = s.canvas.getBoundingClientRect();
  const q = Math.floor(((e.clientY - r.top - s.top) / s.side) * s.data.n);
  const k = Math.floor(((e.clientX - r.left - s.left) / s.side) * s.data.n);
  return q >= 0 && q < s.data.n && k < s.data.n ? [q, Math.max(k, 0)] : null;
}

export default function (component) {
  const { parentElement, setTriggerValue } = component;
  const data = unpack(component.data);
  const canvas = parentElement.querySelector("canvas");
  let s = canvas.matrixState;
  if (!s) {
    s = canvas.matrixState = { canvas, say: parentElement.querySelector(".say"), row: -1, hover: null };
    canvas.addEventListener("mousemove", (e) => { s.hover = cellAt(s, e); paint(s); tell(s); });
    canvas.addEventListener("mouseleave", () => { s.hover = null; paint(s); tell(s); });
    canvas.addEventListener("click", (e) => {
      const c = cellAt(s, e);
      if (c) { s.row = c[0]; s.send(s.row); paint(s); }
    });
    canvas.addEventListener("keydown", (e) => {
      const step = { ArrowDown: 1, ArrowUp: -1, PageDown: 20, PageUp: -20 }[e.key];
      const now = s.row >= 0 ? s.row : s.data.picked;
      if (step) { s.row = Math.max(0, Math.min(s.data.n - 1, now + step)); s.hover = null; paint(s); tell(s); e.preventDefault(); }
      if (e.key === "Enter" && now >= 0) { s.send(now); e.preventDefault(); }
    });
    parentElement.querySelector("button").addEventListener("click", () => savePng(canvas, "parcel-matrix.png"));
    s.observer = new ResizeObserver(() => paint(s));
    s.observer.observe(canvas);
    s.theme = new MutationObserver(() => paint(s));
    s.theme.observe(document.documentElement, { attributes: true, attributeFilter: ["class", "style"] });
  }
  s.send = (row) => setTriggerValue("picked", row);
  s.data = data;
  s.row = -1;
  s.raw = data.values;
  s.lut = colourTable(data.colours);
  s.image = document.createElement("canvas");
  s.image.width = s.image.height = data.n;
  const g = s.image.getContext("2d"), px = g.createImageData(data.n, data.n);
  const [lo, hi] = data.limits;
  for (let i = 0; i < s.raw.length; i++) {
    const v = data.low + (data.span * s.raw[i]) / 65535;
    const j = 3 * Math.max(0, Math.min(255, Math.round(((v - lo) / (hi - lo || 1)) * 255)));
    px.data[4 * i] = s.lut[j]; px.data[4 * i + 1] = s.lut[j + 1]; px.data[4 * i + 2] = s.lut[j + 2]; px.data[4 * i + 3] = 255;
  }
  g.putImageData(px, 0, 0);
  canvas.setAttribute("aria-label", data.alt + " Arrow keys move the marked row, Enter shows it on the brain.");
  paint(s); tell(s);
  return () => { s.observer.disconnect(); s.theme.disconnect(); canvas.matrixState = undefined; };
}
