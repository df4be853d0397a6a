// Hands: hover, lasso, box, move, wheel, click, keys. The selection is drawn at once; row numbers go to the server.
const SHAPES = ['<circle cx="6" cy="6" r="5"/>', '<rect x="1.5" y="1.5" width="9" height="9"/>', '<path d="M6 .5 11.5 6 6 11.5 .5 6Z"/>', '<path d="M6 1 11 10.5H1Z"/>'];
const MISSING_INDEX = 255, MISSING_GREY = "#9aa3a9";
const short = (v) => (Number.isInteger(v) ? v.toFixed(0) : Number(v.toPrecision(4)).toString()).replace("-", "\u2212");

function inPolygon(x, y, polygon) {
  let inside = false;
  for (let i = 0, j = polygon.length - 1; i < polygon.length; j = i++) {
    const [xi, yi] = polygon[i], [xj, yj] = polygon[j];
    if (yi > y !== yj > y && x < ((xj - xi) * (y - yi)) / (yj - yi) + xi) inside = !inside;
  }
  return inside;
}

class PointsView {
  constructor(root) {
    this.root = root.querySelector(".pv");
    this.root.pointsView = this;
    this.maps = [];
    this.tool = "lasso";
    this.turn = 0; // how often the hand has selected or picked
    this.root.querySelector(".tools").addEventListener("click", (e) => this.press(e.target.closest("button")));
    this.root.addEventListener("keydown", (e) => { if (e.key === "Escape") this.choose([]); });
    this.observer = new ResizeObserver(() => this.draw());
    this.theme = new MutationObserver(() => this.draw());
    this.theme.observe(document.documentElement, { attributes: true, attributeFilter: ["class", "style"] });
  }

  update(bytes) {
    const data = unpackPoints(bytes), host = this.root.querySelector(".maps"), before = this.data;
    data.hover = -1;
    // An answer to an earlier hand says what was selected then: what the hand did since stays.
    if (before && data.turn < this.turn && before.ids.length === data.ids.length) {
      data.selected = before.selected;
      data.picked = before.picked;
    }
    this.turn = Math.max(this.turn, data.turn);
    this.data = data;
    const palette = [...data.colour.palette];
    palette[MISSING_INDEX] = MISSING_GREY;
    for (let i = 0; i < 256; i++) palette[i] ??= MISSING_GREY;
    while (this.maps.length > data.maps.length) {
      const gone = this.maps.pop();
      this.observer.unobserve(gone.host);
      gone.gl?.getExtension("WEBGL_lose_context")?.loseContext();
      gone.host.remove();
    }
    while (this.maps.length < data.maps.length) this.add(host);
    this.maps.forEach((m, i) => {
      m.host.style.height = data.height + "px";
      m.host.setAttribute("aria-label", `${data.maps[i].title}. ${data.alt}`);
      m.setData(data.maps[i], data[`xy${i}`], data, palette);
    });
    this.legend();
    this.draw();
    this.tell();
    this.root.dataset.drawn = "1";
  }

  add(parent) {
    const host = document.createElement("div");
    host.className = "map";
    host.tabIndex = 0;
    host.setAttribute("role", "img");
    parent.append(host);
    const map = new MapCanvas(host);
    this.maps.push(map);
    host.addEventListener("pointerdown", (e) => this.down(map, e));
    host.addEventListener("pointermove", (e) => this.move(map, e));
    host.addEventListener("pointerup", (e) => this.up(map, e));
    host.addEventListener("pointerleave", () => { this.data.hover = -1; this.draw(); this.tell(); });
    host.addEventListener("wheel", (e) => {
      e.preventDefault();
      const [x, y] = this.at(map, e), before = map.unpixel(x, y);
      map.zoom = Math.min(200, Math.max(0.5, map.zoom * Math.exp(-e.deltaY * 0.0015)));
      const after = map.unpixel(x, y);
      map.centre = [map.centre[0] + before[0] - after[0], map.centre[1] + before[1] - after[1]];
      map.draw();
    }, { passive: false });
    host.addEventListener("dblclick", () => this.reset());
    this.observer.observe(host);
  }

  at(map, e) {
    const r = map.host.getBoundingClientRect();
    return [e.clientX - r.left, e.clientY - r.top];
  }

  down(map, e) {
    if (e.button) return;
    map.host.setPointerCapture(e.pointerId);
    this.start = this.at(map, e);
    this.adding = e.shiftKey;
    map.trail = [this.start];
    map.was = [...map.centre];
  }

  move(map, e) {
    const now = this.at(map, e);
    if (!this.start) {
      const hit = this.nearest(map, ...now);
      if (hit !== this.data.hover) { this.data.hover = hit; this.draw(true); this.tell(); }
      return;
    }
    if (this.tool === "move") {
      const f = map.frame();
      map.trail = [];
      map.centre = [map.was[0] - (now[0] - this.start[0]) / f.half, map.was[1] + (now[1] - this.start[1]) / f.half];
      map.draw();
    } else {
      const [x, y] = this.start;
      map.trail = this.tool === "box" ? [[x, y], [now[0], y], now, [x, now[1]]] : [...map.trail, now];
      map.drawMarks();
    }
  }

  up(map, e) {
    if (!this.start) return;
    const now = this.at(map, e), moved = Math.hypot(now[0] - this.start[0], now[1] - this.start[1]) > 4 || map.trail.length > 8;
    const polygon = map.trail;
    this.start = null;
    map.trail = [];
    if (!moved) {
      const hit = this.nearest(map, ...now);
      if (hit >= 0) { this.data.picked = hit; this.draw(true); this.tell(); this.send.picked({ row: hit, turn: ++this.turn }); } else map.drawMarks();
      return;
    }
    if (this.tool === "move" || polygon.length < 3) { map.draw(); return; }
    const rows = [];
    for (let i = 0; i < this.data.ids.length; i++) if ((this.adding && this.data.selected[i]) || inPolygon(...map.pixel(i), polygon)) rows.push(i);
    this.choose(rows);
  }

  nearest(map, x, y) {
    let best = -1, least = 100;
    const p = map.place, f = map.frame();
    for (let i = 0; i < p.length / 2; i++) {
      const dx = f.x + p[2 * i] * f.half - x, dy = f.y - p[2 * i + 1] * f.half - y, d = dx * dx + dy * dy;
      if (d < least) { least = d; best = i; }
    }
    return best;
  }

  choose(rows) {
    this.data.selected.fill(0);
    for (const i of rows) this.data.selected[i] = 1;
    for (const map of this.maps) if (map.gl) map.fill("chosen", this.data.selected);
    this.draw();
    this.tell();
    this.send.selected({ rows, turn: ++this.turn });
  }

  press(button) {
    if (!button) return;
    const { tool } = button.dataset;
    if (tool) {
      this.tool = tool;
      for (const b of this.root.querySelectorAll("[data-tool]")) b.setAttribute("aria-pressed", b === button);
      for (const m of this.maps) m.host.classList.toggle("moving", tool === "move");
    } else ({ reset: () => this.reset(), clear: () => this.choose([]), save: () => this.save() })[button.dataset.do]();
  }

  reset() {
    for (const m of this.maps) { m.zoom = 1; m.centre = [0, 0]; }
    this.draw();
  }

  draw(marksOnly = false) {
    if (!this.data) return;
    for (const m of this.maps) if (marksOnly) m.drawMarks(); else m.draw();
  }

  legend() {
    const { colour, index } = this.data, host = this.root.querySelector(".key");
    host.replaceChildren();
    const name = host.appendChild(document.createElement("span"));
    name.className = "name";
    name.textContent = colour.name;
    const missing = index.includes(MISSING_INDEX);
    const entry = (label, fill, shape, k) => {
      const button = host.appendChild(document.createElement("button"));
      button.type = "button";
      button.title = `Select ${label}`;
      button.innerHTML = `<svg viewBox="0 0 12 12" fill="${fill}" aria-hidden="true">${SHAPES[shape]}</svg>`;
      button.append(label);
      button.addEventListener("click", () => this.choose([...index.keys()].filter((i) => index[i] === k)));
    };
    colour.names.forEach((label, k) => entry(label, colour.palette[k], k % 4, k));
    if (!colour.names.length) {
      host.append(short(colour.limits[0]));
      const bar = host.appendChild(document.createElement("span"));
      bar.className = "bar";
      bar.style.background = `linear-gradient(90deg, ${colour.palette.filter((_, i) => i % 8 === 0).join(",")})`;
      host.append(short(colour.limits[1]));
    }
    if (missing) entry("No value", MISSING_GREY, 0, MISSING_INDEX);
  }

  tell() {
    const { data } = this, say = this.root.querySelector(".say"), i = data.hover >= 0 ? data.hover : data.picked;
    const chosen = data.selected.reduce((a, b) => a + b, 0);
    let text = chosen ? `${chosen} of ${data.ids.length} selected. ` : `${data.ids.length} recordings. `;
    if (i >= 0) {
      const k = data.index[i], { colour } = data;
      const value = k === MISSING_INDEX ? "no value" : colour.names.length ? colour.names[k] : short(data.values[i]);
      text += `${data.hover >= 0 ? "" : "Picked: "}${data.ids[i]}, ${colour.name}: ${value}`;
    } else if (!chosen) text += "Draw around points to select them; click one to see what lies near it.";
    say.textContent = text;
  }

  save() {
    const ratio = this.maps[0].ratio, gap = 16 * ratio;
    const out = document.createElement("canvas"), g = out.getContext("2d");
    out.width = this.maps.reduce((w, m) => w + m.points.width + gap, -gap);
    out.height = this.maps[0].points.height + 40 * ratio;
    const style = getComputedStyle(this.root);
    g.fillStyle = style.getPropertyValue("--st-background-color") || "#ffffff";
    g.fillRect(0, 0, out.width, out.height);
    let x = 0;
    for (const m of this.maps) {
      m.draw();
      g.drawImage(m.points, x, 0);
      g.drawImage(m.marks, x, 0);
      x += m.points.width + gap;
    }
    g.font = `${13 * ratio}px ${style.fontFamily}`;
    g.textBaseline = "middle";
    g.fillStyle = style.color;
    x = 12 * ratio;
    const y = out.height - 20 * ratio, { colour } = this.data;
    const write = (t) => { g.fillStyle = style.color; g.fillText(t, x, y); x += g.measureText(t).width + 14 * ratio; };
    write(colour.name);
    if (!colour.names.length) {
      write(short(colour.limits[0]));
      colour.palette.forEach((c, i) => { g.fillStyle = c; g.fillRect(x + (i * 160 * ratio) / colour.palette.length, y - 5 * ratio, (160 * ratio) / colour.palette.length + 1, 10 * ratio); });
      x += 174 * ratio;
      write(short(colour.limits[1]));
    }
    colour.names.forEach((n, i) => { g.fillStyle = colour.palette[i]; g.fillRect(x, y - 5 * ratio, 10 * ratio, 10 * ratio); x += 16 * ratio; write(n); });
    const link = document.createElement("a");
    link.href = out.toDataURL("image/png");
    link.download = "embedding-map.png";
    link.click();
  }

  destroy() {
    this.observer.disconnect();
    this.theme.disconnect();
    for (const m of this.maps) m.gl?.getExtension("WEBGL_lose_context")?.loseContext();
  }
}

const pointsViews = new WeakMap();

export default function (component) {
  const { data, parentElement, setTriggerValue } = component;
  let view = pointsViews.get(parentElement);
  if (!view) {
    view = new PointsView(parentElement);
    pointsViews.set(parentElement, view);
  }
  view.send = { selected: (what) => setTriggerValue("selected", what), picked: (what) => setTriggerValue("picked", what) };
  view.update(data);
  const host = parentElement.host ?? parentElement;
  return () => {
    setTimeout(() => { // only the loss of the element itself ends the view
      if (host.isConnected) return;
      view.destroy();
      pointsViews.delete(parentElement);
    });
  };
}
