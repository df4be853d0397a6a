// Thumbnails, one per layer (row) and head (column); click or arrow keys and Enter choose one.
const LEFT = 64, TOP = 22, GAP = 4;

function paint(s) {
  const { canvas, data } = s, width = canvas.clientWidth, ratio = window.devicePixelRatio || 1;
  if (!width) return;
  s.cell = Math.min(120, Math.floor((width - LEFT) / data.heads));
  const height = TOP + s.cell * data.layers;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  canvas.style.height = height + "px";
  const g = canvas.getContext("2d"), style = getComputedStyle(canvas);
  g.scale(ratio, ratio);
  g.font = "12px " + style.fontFamily;
  g.textBaseline = "middle";
  g.fillStyle = style.color;
  for (let h = 0; h < data.heads; h++) {
    g.textAlign = "center";
    g.fillText((s.cell > 54 ? "Head " : "") + (h + 1), LEFT + (h + 0.5) * s.cell, TOP / 2);
  }
  g.textAlign = "right";
  for (let l = 0; l < data.layers; l++) g.fillText("Layer " + (l + 1), LEFT - 8, TOP + (l + 0.5) * s.cell);
  g.imageSmoothingEnabled = true;
  for (let i = 0; i < s.images.length; i++) {
    const x = LEFT + (i % data.heads) * s.cell, y = TOP + Math.floor(i / data.heads) * s.cell, w = s.cell - GAP;
    g.drawImage(s.images[i], x, y, w, w);
    const mark = s.at >= 0 ? s.at : data.picked;
    if (i === mark || i === s.hover) {
      g.lineWidth = i === mark ? 3 : 1.5;
      g.strokeStyle = i === mark ? style.getPropertyValue("--st-primary-color") : style.color;
      g.strokeRect(x, y, w, w);
    }
  }
}

function at(s, e) {
  const r = s.canvas.getBoundingClientRect();
  const h = Math.floor((e.clientX - r.left - LEFT) / s.cell), l = Math.floor((e.clientY - r.top - TOP) / s.cell);
  return h >= 0 && h < s.data.heads && l >= 0 && l < s.data.layers ? l * s.data.heads + h : -1;
}

export default function (component) {
  const { parentElement, setTriggerValue } = component;
  const data = unpack(component.data);
  const canvas = parentElement.querySelector("canvas");
  let s = canvas.gridState;
  if (!s) {
    s = canvas.gridState = { canvas, say: parentElement.querySelector(".say"), hover: -1, at: -1 };
    canvas.addEventListener("mousemove", (e) => { s.hover = at(s, e); paint(s); });
    canvas.addEventListener("mouseleave", () => { s.hover = -1; paint(s); });
    canvas.addEventListener("click", (e) => { const i = at(s, e); if (i >= 0) { s.at = i; s.send(i); paint(s); } });
    canvas.addEventListener("keydown", (e) => {
      const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: s.data.heads, ArrowUp: -s.data.heads }[e.key];
      const now = s.at >= 0 ? s.at : Math.max(0, s.data.picked);
      if (step) {
        s.at = Math.max(0, Math.min(s.images.length - 1, now + step));
        s.say.textContent = `Layer ${Math.floor(s.at / s.data.heads) + 1}, head ${(s.at % s.data.heads) + 1}`;
        paint(s); e.preventDefault();
      }
      if (e.key === "Enter") { s.send(now); e.preventDefault(); }
    });
    parentElement.querySelector("button").addEventListener("click", () => savePng(canvas, "attention-heads.png"));
    s.observer = new ResizeObserver(() => paint(s));
    s.observer.observe(canvas);
  }
  s.send = (i) => setTriggerValue("picked", i);
  s.data = data;
  s.at = -1;
  const raw = data.values, lut = colourTable(data.colours), m = data.size;
  s.images = [];
  for (let i = 0; i < data.layers * data.heads; i++) {
    const c = document.createElement("canvas");
    c.width = c.height = m;
    const g = c.getContext("2d"), px = g.createImageData(m, m);
    for (let j = 0; j < m * m; j++) {
      const c = 3 * raw[i * m * m + j];
      px.data.set([lut[c], lut[c + 1], lut[c + 2], 255], 4 * j);
    }
    g.putImageData(px, 0, 0);
    s.images.push(c);
  }
  canvas.setAttribute("aria-label", data.alt + " Arrow keys move, Enter chooses.");
  s.say.textContent = data.picked >= 0
    ? `Layer ${Math.floor(data.picked / data.heads) + 1}, head ${(data.picked % data.heads) + 1}`
    : "Average of all heads. Click a thumbnail to see one head.";
  paint(s);
  return () => { s.observer.disconnect(); canvas.gridState = undefined; };
}
