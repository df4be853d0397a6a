// WebGL 2: one context and one copy of the surface for all panels of a brain view.

import { CORNER_BYTES, LABEL_BYTES, buildLabels, buildSpheres } from "./surface.js";
import { SPHERE_FRAGMENT, SPHERE_VERTEX, SURFACE_FRAGMENT, SURFACE_VERTEX } from "./shaders.js";
import { viewMatrix } from "./camera.js";

const NOTHING = 0xfffffffe; // neither a parcel nor the filler of the label buffer

function program(gl, vertex, fragment) {
  const out = gl.createProgram();
  for (const [type, source] of [[gl.VERTEX_SHADER, vertex], [gl.FRAGMENT_SHADER, fragment]]) {
    const shader = gl.createShader(type);
    gl.shaderSource(shader, source);
    gl.compileShader(shader);
    gl.attachShader(out, shader);
    gl.deleteShader(shader);
  }
  gl.linkProgram(out);
  if (!gl.getProgramParameter(out, gl.LINK_STATUS) && !gl.isContextLost()) {
    const logs = gl.getAttachedShaders(out).map((shader) => gl.getShaderInfoLog(shader)).join(" ");
    throw new Error(`shader: ${gl.getProgramInfoLog(out)} ${logs}`);
  }
  const uniforms = {};
  for (let i = 0; i < gl.getProgramParameter(out, gl.ACTIVE_UNIFORMS); i += 1) {
    const { name } = gl.getActiveUniform(out, i);
    uniforms[name] = gl.getUniformLocation(out, name);
  }
  return { program: out, u: uniforms };
}

export class Renderer {
  constructor(canvas) {
    this.canvas = canvas;
    const gl = canvas.getContext("webgl2", { alpha: true, antialias: true, premultipliedAlpha: true });
    if (!gl) throw new Error("webgl-missing");
    this.gl = gl;
    this.textures = [];
    this.ids = null; // framebuffer of parcel numbers, made when the pointer first asks
    this.surfaceProgram = program(gl, SURFACE_VERTEX, SURFACE_FRAGMENT);
    this.sphereProgram = program(gl, SPHERE_VERTEX, SPHERE_FRAGMENT);
    gl.enable(gl.CULL_FACE);
    gl.enable(gl.DEPTH_TEST);
    gl.depthFunc(gl.LEQUAL);
    gl.enable(gl.SCISSOR_TEST);
  }

  setSurface(surface) {
    const { gl } = this;
    this.surface = surface;
    this.surfaceArray = gl.createVertexArray();
    gl.bindVertexArray(this.surfaceArray);
    gl.bindBuffer(gl.ARRAY_BUFFER, gl.createBuffer());
    gl.bufferData(gl.ARRAY_BUFFER, surface.buffer, gl.STATIC_DRAW);
    [[gl.SHORT, 0], [gl.SHORT, 8], [gl.BYTE, 16], [gl.BYTE, 20]].forEach(([type, offset], location) => {
      gl.enableVertexAttribArray(location);
      gl.vertexAttribPointer(location, 4, type, false, CORNER_BYTES, offset);
    });
    this.labelBuffer = gl.createBuffer();
    gl.bindBuffer(gl.ARRAY_BUFFER, this.labelBuffer);
    gl.enableVertexAttribArray(4);
    gl.vertexAttribIPointer(4, 4, gl.UNSIGNED_SHORT, LABEL_BYTES, 0);
    gl.enableVertexAttribArray(5);
    gl.vertexAttribPointer(5, 4, gl.UNSIGNED_BYTE, true, LABEL_BYTES, 8);
    gl.bindVertexArray(null);
  }

  setParcellation(parcellation) {
    const { gl } = this;
    this.nParcels = parcellation.header.names.length;
    gl.bindBuffer(gl.ARRAY_BUFFER, this.labelBuffer);
    gl.bufferData(gl.ARRAY_BUFFER, buildLabels(this.surface, parcellation.arrays.labels, this.nParcels), gl.STATIC_DRAW);
    const spheres = buildSpheres(parcellation);
    this.nSpheres = spheres.length / 6;
    this.sphereArray ??= gl.createVertexArray();
    gl.bindVertexArray(this.sphereArray);
    this.sphereBuffer ??= gl.createBuffer();
    gl.bindBuffer(gl.ARRAY_BUFFER, this.sphereBuffer);
    gl.bufferData(gl.ARRAY_BUFFER, spheres, gl.STATIC_DRAW);
    for (const [location, size, offset] of [[0, 4, 0], [1, 2, 16]]) {
      gl.enableVertexAttribArray(location);
      gl.vertexAttribPointer(location, size, gl.FLOAT, false, 24, offset);
      gl.vertexAttribDivisor(location, 1);
    }
    gl.bindVertexArray(null);
        this.textures.forEach((texture) => gl.deleteTexture(texture));
    this.textures = [];
    this.textureRows = Math.ceil((this.nParcels + 1) / 256);
  }

  /** Colours of one panel: RGBA bytes, 256 × rows texels, one per parcel plus the cut surface. */
  setColours(panel, rgba) {
    const { gl } = this;
    if (!this.textures[panel]) {
      this.textures[panel] = gl.createTexture();
      gl.bindTexture(gl.TEXTURE_2D, this.textures[panel]);
      gl.texStorage2D(gl.TEXTURE_2D, 1, gl.RGBA8, 256, this.textureRows);
      gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, gl.NEAREST);
      gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MAG_FILTER, gl.NEAREST);
    }
    gl.bindTexture(gl.TEXTURE_2D, this.textures[panel]);
    gl.texSubImage2D(gl.TEXTURE_2D, 0, 0, 0, 256, this.textureRows, gl.RGBA, gl.UNSIGNED_BYTE, rgba);
  }

  /**
   * Draws all panels. `panels[i] = {rect, tiles}` in CSS px of the canvas, y down; `look` holds
   * morph, colours, outline strength, picked and hovered parcel, device pixels per CSS px.
   */
  draw(panels, look) {
    const { gl, canvas } = this;
    gl.bindFramebuffer(gl.FRAMEBUFFER, null);
    this.#drawInto(canvas.width, canvas.height, look.pixels, panels, look, 0);
  }

  /** Parcel numbers as seen from the current camera: {data, width, height}, one texel per CSS px. */
  readIds(panels, look, width, height) {
    const { gl } = this;
    this.#sizeIds(width, height);
    gl.bindFramebuffer(gl.FRAMEBUFFER, this.ids.framebuffer);
    this.#drawInto(width, height, 1, panels, look, 1);
    const data = new Uint8Array(width * height * 4);
    gl.readPixels(0, 0, width, height, gl.RGBA, gl.UNSIGNED_BYTE, data);
    gl.bindFramebuffer(gl.FRAMEBUFFER, null);
    return { data, width, height };
  }

  #sizeIds(width, height) {
    const { gl } = this;
    if (this.ids?.width === width && this.ids?.height === height) return;
    if (this.ids) {
      gl.deleteFramebuffer(this.ids.framebuffer);
      this.ids.buffers.forEach((buffer) => gl.deleteRenderbuffer(buffer));
    }
    const framebuffer = gl.createFramebuffer();
    gl.bindFramebuffer(gl.FRAMEBUFFER, framebuffer);
    const buffers = [[gl.RGBA8, gl.COLOR_ATTACHMENT0], [gl.DEPTH_COMPONENT24, gl.DEPTH_ATTACHMENT]].map(([format, point]) => {
      const buffer = gl.createRenderbuffer();
      gl.bindRenderbuffer(gl.RENDERBUFFER, buffer);
      gl.renderbufferStorage(gl.RENDERBUFFER, format, width, height);
      gl.framebufferRenderbuffer(gl.FRAMEBUFFER, point, gl.RENDERBUFFER, buffer);
      return buffer;
    });
    this.ids = { framebuffer, buffers, width, height };
  }

  #drawInto(width, height, pixels, panels, look, pass) {
    const { gl } = this;
    gl.viewport(0, 0, width, height);
    gl.scissor(0, 0, width, height);
    gl.clearColor(0, 0, 0, 0);
    gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
    panels.forEach((panel, i) => {
      gl.bindTexture(gl.TEXTURE_2D, this.textures[i]);
      for (const tile of panel.tiles) this.#drawTile(tile, panel.rect, width, height, pixels, look, pass);
    });
  }

  #drawTile(tile, rect, width, height, pixels, look, pass) {
    const { gl } = this;
    // A turned hemisphere may reach out of its tile; a zoomed one may not.
    const clip = look.zoom > 1.02 ? tile.rect : { x: rect.x - 8, y: rect.y - 8, width: rect.width + 16, height: rect.height + 16 };
    gl.scissor(
      Math.round(clip.x * pixels),
      Math.round(height - (clip.y + clip.height) * pixels),
      Math.round(clip.width * pixels),
      Math.round(clip.height * pixels),
    );
    gl.clear(gl.DEPTH_BUFFER_BIT);
    const view = viewMatrix(tile.yaw, tile.pitch);
    const perMm = (tile.pxPerMm * pixels * 2) / width, perMmY = (tile.pxPerMm * pixels * 2) / height;
    const [centreX, centreY] = tile.centre.map((v) => v * pixels);
    const shared = {
      view,
      scale: [perMm, perMmY],
      offset: [(centreX / width) * 2 - 1 + look.pan[0] * perMm, 1 - (centreY / height) * 2 + look.pan[1] * perMmY],
      pixels,
    };
    const surface = (mode) => this.#drawSurface(tile, shared, look, mode);
    if (!tile.glass) {
      surface(pass);
      return;
    }
    if (pass === 1) {
      this.#drawSpheres(tile, shared, look, 1);
      return;
    }
    gl.enable(gl.SAMPLE_ALPHA_TO_COVERAGE);
    this.#drawSpheres(tile, shared, look, 0);
    gl.disable(gl.SAMPLE_ALPHA_TO_COVERAGE);
    gl.colorMask(false, false, false, false); // nearest surface first: no sheet shines through another
    surface(2);
    gl.colorMask(true, true, true, true);
    gl.enable(gl.BLEND);
    gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
    surface(2);
    gl.disable(gl.BLEND);
  }

  #common(u, shared, look, pass) {
    const { gl } = this;
    gl.uniformMatrix3fv(u.u_view, false, shared.view);
    gl.uniform2fv(u.u_scale, shared.scale);
    gl.uniform2fv(u.u_offset, shared.offset);
    gl.uniform1i(u.u_pass, pass);
    gl.uniform1i(u.u_colours, 0);
    gl.uniform1f(u.u_pixels, shared.pixels);
    gl.uniform3fv(u.u_ink, look.ink);
    gl.uniform1ui(u.u_picked, look.picked ?? NOTHING);
    gl.uniform1ui(u.u_hovered, look.hovered ?? NOTHING);
  }

  #drawSurface(tile, shared, look, pass) {
    const { gl, surface } = this;
    const { program: shader, u } = this.surfaceProgram;
    const morph = tile.glass ? 0 : look.morph;
    gl.useProgram(shader);
    this.#common(u, shared, look, pass);
    gl.uniform1f(u.u_morph, morph);
    gl.uniform1f(u.u_steps, surface.header.steps_per_mm);
    gl.uniform1f(u.u_sulcus, 0.34 - 0.1 * morph);
    gl.uniform1f(u.u_outline, look.outline);
    gl.bindVertexArray(this.surfaceArray);
    for (const h of tile.hemispheres) {
      gl.uniform3fv(u.u_shift, tile.alone ? [0, 0, 0] : hemisphereShift(surface.header, h, morph, tile));
      gl.drawArrays(gl.TRIANGLES, surface.hemispheres[h].first, surface.hemispheres[h].count);
    }
  }

  #drawSpheres(tile, shared, look, pass) {
    if (!this.nSpheres) return;
    const { gl } = this;
    const { program: shader, u } = this.sphereProgram;
    gl.useProgram(shader);
    this.#common(u, shared, look, pass);
    gl.uniform3fv(u.u_shift, SCENE_CENTRE.map((v) => -v));
    gl.uniform1f(u.u_gap, tile.gap);
    gl.bindVertexArray(this.sphereArray);
    gl.drawArraysInstanced(gl.TRIANGLE_STRIP, 0, 4, this.nSpheres);
  }

  destroy() {
    this.gl.getExtension("WEBGL_lose_context")?.loseContext();
  }
}

/** Middle of the folded brain in MNI mm: what both-hemisphere views turn around. */
const SCENE_CENTRE = [0, -18, 10];

/** Where the middle of a hemisphere lies in the scene: in place in the glass brain, else centred. */
function hemisphereShift(header, h, morph, { gap, glass }) {
  const side = h === 0 ? -1 : 1, centre = header.centre[h];
  const x = Math.abs(centre[0]) * (1 - morph) + header.inflated_half_width[h] * morph + gap;
  return glass ? [side * x, centre[1] - SCENE_CENTRE[1], centre[2] - SCENE_CENTRE[2]] : [side * x, 0, 0];
}
