// WebGL 2: one context and one copy of the surface for all panels of a brain view.

import { CORNER_BYTES, LABEL_BYTES, buildLabels, buildSpheres } from "./surface.js";
import {
  COLOUR_FRAGMENT, FLAT_VERTEX, GATHER_FRAGMENT, MARK_FRAGMENT, SPHERE_FRAGMENT, SPHERE_VERTEX,
  SURFACE_FRAGMENT, SURFACE_VERTEX,
} from "./shaders.js";
import { SCENE_CENTRE, hemisphereShift, viewMatrix } from "./camera.js";

const MAX_SAMPLES = 24e6; // beyond, one sample per pixel must do

/** Has a program made; nobody waits for it here. */
function begin(gl, vertex, fragment) {
  const out = gl.createProgram();
  for (const [type, source] of [[gl.VERTEX_SHADER, vertex], [gl.FRAGMENT_SHADER, fragment]]) {
    const shader = gl.createShader(type);
    gl.shaderSource(shader, source);
    gl.compileShader(shader);
    gl.attachShader(out, shader);
    gl.deleteShader(shader);
  }
  gl.linkProgram(out);
  return out;
}

/** Waits for a program; throws with the compiler's words where it cannot be made. */
function finish(gl, out) {
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
    const gl = canvas.getContext("webgl2", { alpha: true, antialias: false, depth: false, premultipliedAlpha: true });
    if (!gl) throw new Error("webgl-missing");
    this.gl = gl;
    this.textures = [];
    this.targets = {};
    // Asking whether a program is done waits for it: all are begun before the first is asked for.
    this.begun = {
      surfaceProgram: begin(gl, SURFACE_VERTEX, SURFACE_FRAGMENT),
      sphereProgram: begin(gl, SPHERE_VERTEX, SPHERE_FRAGMENT),
      gatherProgram: begin(gl, FLAT_VERTEX, GATHER_FRAGMENT),
      colourProgram: begin(gl, FLAT_VERTEX, COLOUR_FRAGMENT),
      markProgram: begin(gl, FLAT_VERTEX, MARK_FRAGMENT),
    };
    this.nothing = gl.createVertexArray();
    this.maxSide = gl.getParameter(gl.MAX_TEXTURE_SIZE);
    const info = gl.getExtension("WEBGL_debug_renderer_info");
    const name = info ? gl.getParameter(info.UNMASKED_RENDERER_WEBGL) : "";
    this.software = /swiftshader|llvmpipe|software|basic render/i.test(name);
    gl.enable(gl.CULL_FACE);
    gl.enable(gl.SCISSOR_TEST);
  }

  /** Waits for the programs; call once, when everything else that takes time has been begun. */
  finish() {
    for (const [name, out] of Object.entries(this.begun)) this[name] = finish(this.gl, out);
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
   * Makes the map for the current camera. `panels[i] = {rect, tiles}` in CSS px of the canvas, y
   * down; `look` holds morph, outline strength, zoom, pan, device pixels per CSS px; `coarse` takes
   * one sample per pixel instead of four.
   */
  project(panels, look, coarse) {
    const { gl, canvas: { width, height } } = this;
    const fits = width * height * 4 <= MAX_SAMPLES && 2 * Math.max(width, height) <= this.maxSide;
    const perPixel = coarse || !fits ? 1 : 2;
    const samples = this.#target(perPixel === 2 ? "fine" : "coarse", width * perPixel, height * perPixel, 1, true);
    this.#begin(samples);
    gl.enable(gl.DEPTH_TEST);
    for (const { tiles, rect } of panels) {
      for (const tile of tiles) this.#drawTile(tile, rect, samples, look.pixels * perPixel, look);
    }
    gl.disable(gl.DEPTH_TEST);
    this.map = this.#target("map", width, height, 2, false);
    this.#begin(this.map);
    const { program: shader, u } = this.gatherProgram;
    gl.useProgram(shader);
    gl.bindVertexArray(this.nothing);
    gl.bindTexture(gl.TEXTURE_2D, samples.textures[0]);
    gl.uniform1i(u.u_samples, 0);
    gl.uniform1i(u.u_perPixel, perPixel);
    gl.drawArrays(gl.TRIANGLES, 0, 3);
    gl.bindFramebuffer(gl.FRAMEBUFFER, null);
  }

  /**
   * Colours the map. `look`: text colour, device pixels per CSS px, and `marks`: parcels to
   * outline, [{parcel, width, boxes}] with the boxes that may hold them in CSS px.
   */
  draw(panels, look) {
    const { gl, canvas } = this;
    this.#begin({ framebuffer: null, width: canvas.width, height: canvas.height });
    gl.bindVertexArray(this.nothing);
    this.map.textures.forEach((texture, i) => {
      gl.activeTexture(gl.TEXTURE1 + i);
      gl.bindTexture(gl.TEXTURE_2D, texture);
    });
    gl.activeTexture(gl.TEXTURE0);
    this.#useMap(this.colourProgram, look);
    panels.forEach((panel, i) => {
      this.#scissor(grown(panel.rect), canvas.height, look.pixels);
      gl.bindTexture(gl.TEXTURE_2D, this.textures[i]);
      gl.drawArrays(gl.TRIANGLES, 0, 3);
    });
    if (!look.marks.length) return;
    this.#useMap(this.markProgram, look);
    const { u } = this.markProgram;
    gl.enable(gl.BLEND);
    gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
    panels.forEach((panel, i) => {
      gl.bindTexture(gl.TEXTURE_2D, this.textures[i]);
      for (const { parcel, width, boxes } of look.marks) {
        gl.uniform1i(u.u_parcel, parcel);
        gl.uniform1f(u.u_width, width);
        for (const box of boxes[i]) {
          this.#scissor(box, canvas.height, look.pixels);
          gl.drawArrays(gl.TRIANGLES, 0, 3);
        }
      }
    });
    gl.disable(gl.BLEND);
  }

  #useMap({ program: shader, u }, look) {
    const { gl } = this;
    gl.useProgram(shader);
    gl.uniform1i(u.u_colours, 0);
    gl.uniform1i(u.u_who, 1);
    gl.uniform1i(u.u_how, 2);
    gl.uniform3fv(u.u_ink, look.ink);
    gl.uniform1f(u.u_pixels, look.pixels);
  }

  /** The map, one entry per CSS px, rows from below: parcel + 1 in the first two bytes. */
  readIds(width, height) {
    const { gl } = this;
    const ids = this.#target("ids", width, height, 1, false);
    this.#begin(ids);
    gl.bindFramebuffer(gl.READ_FRAMEBUFFER, this.map.framebuffer);
    gl.readBuffer(gl.COLOR_ATTACHMENT0);
    gl.blitFramebuffer(0, 0, this.map.width, this.map.height, 0, 0, width, height, gl.COLOR_BUFFER_BIT, gl.NEAREST);
    gl.bindFramebuffer(gl.READ_FRAMEBUFFER, ids.framebuffer);
    const data = new Uint8Array(width * height * 4);
    gl.readPixels(0, 0, width, height, gl.RGBA, gl.UNSIGNED_BYTE, data);
    gl.bindFramebuffer(gl.FRAMEBUFFER, null);
    return { data, width, height };
  }

  /** Draws into a target from now on, emptied. */
  #begin({ framebuffer, width, height }) {
    const { gl } = this;
    gl.bindFramebuffer(gl.FRAMEBUFFER, framebuffer);
    gl.viewport(0, 0, width, height);
    gl.scissor(0, 0, width, height);
    gl.clearColor(0, 0, 0, 0);
    gl.clear(gl.COLOR_BUFFER_BIT);
  }

  /** The named off-screen picture of that size, made anew only when the size changed. */
  #target(name, width, height, nTextures, withDepth) {
    const { gl } = this, old = this.targets[name];
    if (old?.width === width && old?.height === height) return old;
    if (old) {
      gl.deleteFramebuffer(old.framebuffer);
      old.textures.forEach((texture) => gl.deleteTexture(texture));
      if (old.depth) gl.deleteRenderbuffer(old.depth);
    }
    const framebuffer = gl.createFramebuffer(), textures = [], points = [];
    gl.bindFramebuffer(gl.FRAMEBUFFER, framebuffer);
    for (let i = 0; i < nTextures; i += 1) {
      textures.push(gl.createTexture());
      gl.bindTexture(gl.TEXTURE_2D, textures[i]);
      gl.texStorage2D(gl.TEXTURE_2D, 1, gl.RGBA8, width, height);
      gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, gl.NEAREST);
      gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MAG_FILTER, gl.NEAREST);
      points.push(gl.COLOR_ATTACHMENT0 + i);
      gl.framebufferTexture2D(gl.FRAMEBUFFER, points[i], gl.TEXTURE_2D, textures[i], 0);
    }
    gl.drawBuffers(points);
    let depth = null;
    if (withDepth) {
      depth = gl.createRenderbuffer();
      gl.bindRenderbuffer(gl.RENDERBUFFER, depth);
      gl.renderbufferStorage(gl.RENDERBUFFER, gl.DEPTH_COMPONENT24, width, height);
      gl.framebufferRenderbuffer(gl.FRAMEBUFFER, gl.DEPTH_ATTACHMENT, gl.RENDERBUFFER, depth);
    }
    this.targets[name] = { framebuffer, textures, depth, width, height };
    return this.targets[name];
  }

  #scissor(rect, height, pixels) {
    const left = Math.round(rect.x * pixels), bottom = Math.round(height - (rect.y + rect.height) * pixels);
    this.gl.scissor(left, bottom, Math.round(rect.width * pixels), Math.round(rect.height * pixels));
  }

  #drawTile(tile, rect, { width, height }, pixels, look) {
    const { gl } = this;
    // A turned hemisphere may reach out of its tile; a zoomed one may not.
    this.#scissor(look.zoom > 1.02 ? tile.rect : grown(rect), height, pixels);
    gl.clear(gl.DEPTH_BUFFER_BIT);
    const perMm = (tile.pxPerMm * pixels * 2) / width, perMmY = (tile.pxPerMm * pixels * 2) / height;
    const [centreX, centreY] = tile.centre.map((v) => v * pixels);
    const shared = {
      view: viewMatrix(tile.yaw, tile.pitch),
      scale: [perMm, perMmY],
      offset: [(centreX / width) * 2 - 1 + look.pan[0] * perMm, 1 - (centreY / height) * 2 + look.pan[1] * perMmY],
      pixels,
    };
    if (!tile.glass) {
      this.#drawSurface(tile, shared, look);
      return;
    }
    this.#drawSpheres(tile, shared);
    gl.colorMask(false, false, false, true); // glass veils what is there; the nearest sheet stays
    this.#drawSurface(tile, shared, look);
    gl.colorMask(true, true, true, true);
  }

  #common(u, shared) {
    const { gl } = this;
    gl.uniformMatrix3fv(u.u_view, false, shared.view);
    gl.uniform2fv(u.u_scale, shared.scale);
    gl.uniform2fv(u.u_offset, shared.offset);
  }

  #drawSurface(tile, shared, look) {
    const { gl, surface } = this;
    const { program: shader, u } = this.surfaceProgram;
    const morph = tile.glass ? 0 : look.morph;
    gl.useProgram(shader);
    this.#common(u, shared);
    gl.uniform1i(u.u_glass, tile.glass ? 1 : 0);
    gl.uniform1f(u.u_morph, morph);
    gl.uniform1f(u.u_steps, surface.header.steps_per_mm);
    gl.uniform1f(u.u_sulcus, 0.34 - 0.1 * morph);
    gl.uniform1f(u.u_outline, look.outline);
    gl.uniform1f(u.u_pixels, shared.pixels);
    gl.bindVertexArray(this.surfaceArray);
    for (const h of tile.hemispheres) {
      gl.uniform3fv(u.u_shift, hemisphereShift(surface.header, h, morph, tile));
      gl.drawArrays(gl.TRIANGLES, surface.hemispheres[h].first, surface.hemispheres[h].count);
    }
  }

  #drawSpheres(tile, shared) {
    if (!this.nSpheres) return;
    const { gl } = this;
    const { program: shader, u } = this.sphereProgram;
    gl.useProgram(shader);
    this.#common(u, shared);
    gl.uniform3fv(u.u_shift, SCENE_CENTRE.map((v) => -v));
    gl.uniform1f(u.u_gap, tile.gap);
    gl.bindVertexArray(this.sphereArray);
    gl.drawArraysInstanced(gl.TRIANGLE_STRIP, 0, 4, this.nSpheres);
  }

  destroy() {
    this.gl.getExtension("WEBGL_lose_context")?.loseContext();
  }
}

const grown = ({ x, y, width, height }) => ({ x: x - 8, y: y - 8, width: width + 16, height: height + 16 });
