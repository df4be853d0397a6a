// Drawing: points in WebGL 2 (or, where that is missing, on a plain canvas), marks and words on a canvas above.
function unpackPoints(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const length = view.getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(bytes.subarray(4, 4 + length)));
  const kinds = { uint8: Uint8Array, float32: Float32Array };
  for (const [name, kind, offset, count] of header.arrays) {
    const start = 4 + length + offset, Kind = kinds[kind];
    header[name] = new Kind(bytes.slice(start, start + count * Kind.BYTES_PER_ELEMENT).buffer);
  }
  return header;
}

const VERTEX = `#version 300 es
in vec2 place; in float colour; in float chosen;
uniform vec2 scale, offset; uniform float size, anyChosen; uniform float shapes;
uniform sampler2D palette;
out vec4 tint; flat out int shape;
void main() {
  gl_Position = vec4(place * scale + offset, chosen > .5 ? -.1 : .1, 1.);
  bool missing = colour > 254.5;
  vec3 rgb = texelFetch(palette, ivec2(int(colour), 0), 0).rgb;
  float alpha = anyChosen > .5 && chosen < .5 ? .34 : (missing ? .55 : .88);
  tint = vec4(rgb, alpha);
  shape = missing ? 0 : int(mod(colour, 4.)) * int(shapes);
  gl_PointSize = size * (chosen > .5 ? 1.25 : 1.) * (missing ? .8 : 1.);
}`;
const FRAGMENT = `#version 300 es
precision highp float;
in vec4 tint; flat in int shape; out vec4 pixel;
void main() {
  vec2 p = gl_PointCoord * 2. - 1.;
  float d = shape == 1 ? max(abs(p.x), abs(p.y)) * 1.15 : shape == 2 ? (abs(p.x) + abs(p.y)) * .98
    : shape == 3 ? max(p.y, abs(p.x) * 1.1 - p.y * .55 - .25) * 1.15 + .12 : length(p);
  float edge = fwidth(d);
  float inside = 1. - smoothstep(1. - edge, 1., d);
  if (inside < .02) discard;
  pixel = vec4(tint.rgb * mix(1., .72, smoothstep(.72, .9, d)), tint.a * inside);
}`;

function compile(gl) {
  const program = gl.createProgram();
  for (const [kind, text] of [[gl.VERTEX_SHADER, VERTEX], [gl.FRAGMENT_SHADER, FRAGMENT]]) {
    const shader = gl.createShader(kind);
    gl.shaderSource(shader, text);
    gl.compileShader(shader);
    if (!gl.getShaderParameter(shader, gl.COMPILE_STATUS)) throw new Error(gl.getShaderInfoLog(shader));
    gl.attachShader(program, shader);
  }
  gl.linkProgram(program);
  return program;
}

const rgbOf = (hex) => [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));

class MapCanvas {
  constructor(host) {
    this.host = host;
    this.points = host.appendChild(document.createElement("canvas"));
    this.marks = host.appendChild(document.createElement("canvas"));
    this.gl = this.points.getContext("webgl2", { antialias: false, premultipliedAlpha: false, preserveDrawingBuffer: true });
    if (this.gl) this.prepare();
    this.zoom = 1;
    this.centre = [0, 0];
    this.trail = [];
  }

  prepare() {
    const gl = this.gl;
    this.program = compile(gl);
    gl.useProgram(this.program);
    this.at = Object.fromEntries(["scale", "offset", "size", "anyChosen", "shapes", "palette"].map((n) => [n, gl.getUniformLocation(this.program, n)]));
    this.buffers = Object.fromEntries(["place", "colour", "chosen"].map((name) => {
      const buffer = gl.createBuffer(), slot = gl.getAttribLocation(this.program, name);
      gl.bindBuffer(gl.ARRAY_BUFFER, buffer);
      gl.enableVertexAttribArray(slot);
      if (name === "place") gl.vertexAttribPointer(slot, 2, gl.FLOAT, false, 0, 0);
      else gl.vertexAttribPointer(slot, 1, gl.UNSIGNED_BYTE, false, 0, 0);
      return [name, buffer];
    }));
    this.texture = gl.createTexture();
    gl.bindTexture(gl.TEXTURE_2D, this.texture);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, gl.NEAREST);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MAG_FILTER, gl.NEAREST);
    gl.enable(gl.BLEND);
    gl.blendFuncSeparate(gl.SRC_ALPHA, gl.ONE_MINUS_SRC_ALPHA, gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
  }

  fill(buffer, values) {
    this.gl.bindBuffer(this.gl.ARRAY_BUFFER, this.buffers[buffer]);
    this.gl.bufferData(this.gl.ARRAY_BUFFER, values, this.gl.DYNAMIC_DRAW);
  }

  // Places in the unit square, whatever the unit of the map; the scan in hand counts for the frame.
  setData(map, xy, data, palette) {
    const n = xy.length / 2;
    let [x0, x1, y0, y1] = [Infinity, -Infinity, Infinity, -Infinity];
    const grow = (x, y) => {
      if (!Number.isFinite(x) || !Number.isFinite(y)) return;
      x0 = Math.min(x0, x); x1 = Math.max(x1, x); y0 = Math.min(y0, y); y1 = Math.max(y1, y);
    };
    for (let i = 0; i < n; i++) grow(xy[2 * i], xy[2 * i + 1]);
    if (map.here) grow(...map.here);
    const span = Math.max(x1 - x0, y1 - y0) || 1;
    this.extent = [Math.max((x1 - x0) / span, 0.05), Math.max((y1 - y0) / span, 0.05)];
    const unit = (x, y) => [(2 * x - x0 - x1) / span, (2 * y - y0 - y1) / span];
    this.place = new Float32Array(2 * n);
    for (let i = 0; i < n; i++) {
      const [x, y] = unit(xy[2 * i], xy[2 * i + 1]);
      this.place[2 * i] = Number.isFinite(x) ? x : 1e6;
      this.place[2 * i + 1] = Number.isFinite(y) ? y : 1e6;
    }
    this.here = map.here ? unit(...map.here) : null;
    this.map = map;
    this.data = data;
    this.palette = palette;
    if (!this.gl) return;
    const gl = this.gl, pixels = new Uint8Array(256 * 4);
    palette.forEach((hex, i) => pixels.set([...rgbOf(hex), 255], 4 * i));
    gl.bindTexture(gl.TEXTURE_2D, this.texture);
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, 256, 1, 0, gl.RGBA, gl.UNSIGNED_BYTE, pixels);
    this.fill("place", this.place);
    this.fill("colour", data.index);
    this.fill("chosen", data.selected);
  }

  resize() {
    const ratio = window.devicePixelRatio || 1, w = this.host.clientWidth, h = this.host.clientHeight;
    for (const c of [this.points, this.marks]) {
      if (c.width !== Math.round(w * ratio) || c.height !== Math.round(h * ratio)) {
        c.width = Math.round(w * ratio);
        c.height = Math.round(h * ratio);
      }
    }
    this.ratio = ratio; this.w = w; this.h = h;
  }

  // From places in the unit square to pixels of the host, and back.
  frame() {
    const half = Math.min((this.w / 2 - 28) / this.extent[0], (this.h / 2 - 46) / this.extent[1]) * this.zoom;
    return { half, x: this.w / 2 - this.centre[0] * half, y: this.h / 2 + 8 + this.centre[1] * half };
  }

  pixel(i) {
    const f = this.frame();
    return [f.x + this.place[2 * i] * f.half, f.y - this.place[2 * i + 1] * f.half];
  }

  unpixel(x, y) {
    const f = this.frame();
    return [(x - f.x) / f.half, (f.y - y) / f.half];
  }

  pointSize() {
    const n = this.place.length / 2;
    return (n > 20000 ? 3.5 : n > 4000 ? 5 : n > 800 ? 7 : 9) * Math.min(2, Math.sqrt(this.zoom)) * this.ratio;
  }

  draw() {
    if (!this.data) return;
    this.resize();
    if (!this.w) return;
    const any = this.data.selected.includes(1);
    if (this.gl) this.drawGl(any);
    else this.drawPlain(any);
    this.drawMarks();
  }

  drawGl(any) {
    const gl = this.gl, f = this.frame();
    gl.viewport(0, 0, this.points.width, this.points.height);
    gl.clearColor(0, 0, 0, 0);
    gl.clear(gl.COLOR_BUFFER_BIT);
    gl.uniform2f(this.at.scale, (2 * f.half) / this.w, (2 * f.half) / this.h);
    gl.uniform2f(this.at.offset, (2 * f.x) / this.w - 1, 1 - (2 * f.y) / this.h);
    gl.uniform1f(this.at.size, this.pointSize());
    gl.uniform1f(this.at.anyChosen, any ? 1 : 0);
    gl.uniform1f(this.at.shapes, this.data.colour.names.length ? 1 : 0);
    gl.drawArrays(gl.POINTS, 0, this.place.length / 2);
  }

  drawPlain(any) {
    const g = this.points.getContext("2d"), size = this.pointSize() / this.ratio;
    g.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    g.clearRect(0, 0, this.w, this.h);
    for (let i = 0; i < this.place.length / 2; i++) {
      const [x, y] = this.pixel(i);
      g.globalAlpha = any && !this.data.selected[i] ? 0.34 : 0.88;
      g.fillStyle = this.palette[this.data.index[i]];
      g.fillRect(x - size / 2, y - size / 2, size, size);
    }
    g.globalAlpha = 1;
  }

  drawMarks() {
    const g = this.marks.getContext("2d"), style = getComputedStyle(this.host), text = style.color;
    const accent = style.getPropertyValue("--st-primary-color") || text, ground = style.getPropertyValue("--st-background-color") || "#fff";
    g.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    g.clearRect(0, 0, this.w, this.h);
    const ring = (x, y, r, colour, width = 2) => {
      for (const [c, w] of [[ground, width + 2], [colour, width]]) {
        g.strokeStyle = c; g.lineWidth = w;
        g.beginPath(); g.arc(x, y, r, 0, 7); g.stroke();
      }
    };
    if (this.here) {
      const f = this.frame(), x = f.x + this.here[0] * f.half, y = f.y - this.here[1] * f.half;
      g.strokeStyle = text; g.globalAlpha = 0.5; g.lineWidth = 1;
      for (const i of this.map.near) { g.beginPath(); g.moveTo(x, y); g.lineTo(...this.pixel(i)); g.stroke(); }
      g.globalAlpha = 1;
      for (const [c, w] of [[ground, 6], [text, 2.5]]) {
        g.strokeStyle = c; g.lineWidth = w;
        g.beginPath(); g.moveTo(x - 8, y); g.lineTo(x + 8, y); g.moveTo(x, y - 8); g.lineTo(x, y + 8); g.stroke();
      }
      this.words("This scan", x + 11, y - 9, text, ground, "left");
    }
    if (this.data.picked >= 0) ring(...this.pixel(this.data.picked), 9, accent, 2.5);
    if (this.data.hover >= 0) ring(...this.pixel(this.data.hover), 7, text, 1.5);
    this.words(this.map.title, 12, 18, text, ground, "left", 600);
    if (this.map.axes[0]) {
      this.words(this.map.axes[0] + " →", this.w - 10, this.h - 12, text, ground, "right");
      this.words("↑ " + this.map.axes[1], 12, 38, text, ground, "left");
    }
    if (this.trail.length > 1) {
      g.strokeStyle = accent; g.fillStyle = accent; g.lineWidth = 1.5;
      g.beginPath(); this.trail.forEach((p, i) => (i ? g.lineTo(...p) : g.moveTo(...p))); g.closePath();
      g.stroke(); g.globalAlpha = 0.1; g.fill(); g.globalAlpha = 1;
    }
  }

  words(text, x, y, colour, ground, align, weight = 400) {
    const g = this.marks.getContext("2d");
    g.font = `${weight} 13px ${getComputedStyle(this.host).fontFamily}`;
    g.textAlign = align; g.textBaseline = "middle"; g.lineJoin = "round";
    const room = this.w - 24; // a long title on a phone is set narrower, not cut
    g.strokeStyle = ground; g.lineWidth = 4; g.strokeText(text, x, y, room);
    g.fillStyle = colour; g.fillText(text, x, y, room);
  }
}
