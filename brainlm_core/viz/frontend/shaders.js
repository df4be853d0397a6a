// GLSL. All views are orthographic. A picture is made in three steps, because only the last one
// is needed when a frame, a colour scale or the outlined parcel changes:
//
// 1. The scene is drawn into samples (four a pixel): which parcel lies there, how bright it is.
// 2. The samples of a pixel are gathered into a map: its two parcels, their shares, its light.
// 3. The map is coloured: two look-ups per pixel, however complex the surface.
//
// Sample: red, green = parcel + 1 (0: nothing), blue = brightness / 1.25, alpha = veil of the glass.
// Map, "who": parcel + 1 of the larger and of the smaller share, two bytes each; "how": brightness
// / 1.25, smaller share, part of the pixel that is covered, veil.

const COMMON = `#version 300 es
precision highp float;
precision highp int;
`;

const LIGHT = `
float lit(vec3 n) {
  float key = dot(n, normalize(vec3(-0.25, 0.55, 0.80)));
  float gloss = pow(max(dot(n, normalize(vec3(-0.13, 0.28, 0.95))), 0.0), 26.0);
  return 0.56 + 0.30 * smoothstep(-0.35, 1.0, key) + 0.20 * smoothstep(0.0, 0.85, n.z) + 0.05 * gloss;
}
vec4 entry(uint parcel, float light) {
  uint id = parcel + 1u;
  return vec4(vec2(id & 255u, id >> 8) / 255.0, light / 1.25, 0.0);
}
`;

export const SURFACE_VERTEX = `${COMMON}
layout(location = 0) in vec4 a_pial;       // xyz in steps, sulcal depth
layout(location = 1) in vec4 a_inflated;
layout(location = 2) in vec4 a_pialNormal;
layout(location = 3) in vec4 a_inflatedNormal;
layout(location = 4) in uvec4 a_labels;    // parcels of this triangle
layout(location = 5) in vec4 a_weights;    // how much this corner belongs to each
uniform float u_morph, u_steps, u_sulcus;
uniform mat3 u_view;
uniform vec3 u_shift;                      // mm, scene
uniform vec2 u_scale, u_offset;            // mm to clip space
uniform bool u_glass;
flat out uvec3 v_labels;
out vec3 v_weights;
out float v_light;                         // or the veil, for glass
${LIGHT}
void main() {
  vec3 p = u_view * (mix(a_pial.xyz, a_inflated.xyz, u_morph) / u_steps + u_shift);
  gl_Position = vec4(p.xy * u_scale + u_offset, -p.z / 400.0, 1.0);
  vec3 n = normalize(u_view * mix(a_pialNormal.xyz, a_inflatedNormal.xyz, u_morph));
  float depth = smoothstep(-0.25, 0.9, a_pial.w / 127.0);
  v_light = u_glass ? 0.035 + 0.34 * pow(1.0 - clamp(n.z, 0.0, 1.0), 2.5) : lit(n) * (1.0 - u_sulcus * depth);
  v_weights = a_weights.xyz;
  v_labels = a_labels.xyz;
}`;

export const SURFACE_FRAGMENT = `${COMMON}
flat in uvec3 v_labels;
in vec3 v_weights;
in float v_light;
uniform float u_outline, u_pixels;         // seam strength; samples per CSS pixel
uniform bool u_glass;
out vec4 o_sample;
${LIGHT}
void main() {
  if (u_glass) { o_sample = vec4(0.0, 0.0, 0.0, v_light); return; }
  // A border is the straight line on which two parcels weigh the same: it continues from
  // triangle to triangle and is crisp at any zoom.
  uvec3 l = v_labels;
  vec3 w = v_weights;
  bool swap = w.y > w.x;
  uint first = swap ? l.y : l.x, second = swap ? l.x : l.y;
  vec3 m1 = swap ? vec3(0.0, 1.0, 0.0) : vec3(1.0, 0.0, 0.0), m2 = vec3(1.0, 1.0, 0.0) - m1;
  if (w.z > max(w.x, w.y)) { second = first; m2 = m1; first = l.z; m1 = vec3(0.0, 0.0, 1.0); }
  else if (w.z > min(w.x, w.y)) { second = l.z; m2 = vec3(0.0, 0.0, 1.0); }
  vec3 dm = m1 - m2;
  vec2 slope = vec2(dot(dm, dFdx(w)), dot(dm, dFdy(w)));
  float distance = second == 0xffffu ? 1e6 : dot(dm, w) / max(length(slope), 1e-6) / u_pixels;  // CSS px
  // A darker seam of the same hue: parcels stay apart where their colours do not.
  float seam = 1.0 - 0.28 * u_outline * (1.0 - smoothstep(0.25, 1.05, distance));
  o_sample = entry(first, v_light * seam);
}`;

export const SPHERE_VERTEX = `${COMMON}
layout(location = 0) in vec4 a_place;      // MNI mm, radius
layout(location = 1) in vec2 a_parcel;     // parcel, side
uniform mat3 u_view;
uniform vec3 u_shift;
uniform float u_gap;
uniform vec2 u_scale, u_offset;
flat out uint v_parcel;
flat out float v_radius;
out vec2 v_at;
out float v_depth;
void main() {
  vec2 at = vec2(gl_VertexID & 1, gl_VertexID >> 1) * 2.0 - 1.0;
  vec3 p = u_view * (a_place.xyz + u_shift + vec3(a_parcel.y * u_gap, 0.0, 0.0));
  v_depth = p.z;
  p.xy += at * a_place.w;
  gl_Position = vec4(p.xy * u_scale + u_offset, -p.z / 400.0, 1.0);
  v_at = at;
  v_radius = a_place.w;
  v_parcel = uint(a_parcel.x);
}`;

export const SPHERE_FRAGMENT = `${COMMON}
flat in uint v_parcel;
flat in float v_radius;
in vec2 v_at;
in float v_depth;
out vec4 o_sample;
${LIGHT}
void main() {
  float r = length(v_at);
  if (r > 1.0) discard;
  vec3 n = vec3(v_at, sqrt(max(1.0 - r * r, 0.0)));
  gl_FragDepth = 0.5 - 0.5 * (v_depth + n.z * v_radius) / 400.0;
  o_sample = entry(v_parcel, lit(n) * (1.0 - 0.25 * smoothstep(0.86, 0.96, r)));
}`;

export const FLAT_VERTEX = `${COMMON}
void main() {
  gl_Position = vec4(vec2(gl_VertexID & 1, gl_VertexID >> 1) * 4.0 - 1.0, 0.0, 1.0);
}`;

export const GATHER_FRAGMENT = `${COMMON}
uniform highp sampler2D u_samples;
uniform int u_perPixel;                    // samples per pixel and axis: 1 or 2
layout(location = 0) out vec4 o_who;
layout(location = 1) out vec4 o_how;
void main() {
  ivec2 at = ivec2(gl_FragCoord.xy) * u_perPixel;
  int n = u_perPixel * u_perPixel;
  vec4 s[4];
  vec2 first = vec2(0.0), other = vec2(0.0);
  float light = 0.0, covered = 0.0, veil = 0.0, shared = 0.0;
  for (int k = 0; k < n; k += 1) {
    s[k] = texelFetch(u_samples, at + ivec2(k & 1, k >> 1), 0);
    veil += s[k].a;
    if (s[k].r + s[k].g == 0.0) continue;
    covered += 1.0;
    light += s[k].b;
    if (first == vec2(0.0)) first = s[k].rg;
    else if (s[k].rg != first) { other = s[k].rg; shared += 1.0; }
  }
  float some = max(covered, 1.0);
  o_who = vec4(first, other == vec2(0.0) ? first : other);
  o_how = vec4(light / some, shared / some, covered / float(n), veil / float(n));
}`;

const MAP = `
uniform highp sampler2D u_who, u_how;
uniform sampler2D u_colours;               // one texel per parcel; alpha 0 marks "no data"
uniform vec3 u_ink;                        // text colour of the theme
uniform float u_pixels;                    // device pixels per CSS pixel
ivec2 idsOf(vec4 who) {
  ivec4 b = ivec4(who * 255.0 + 0.5);
  return ivec2(b.r + (b.g << 8), b.b + (b.a << 8));
}
`;

export const COLOUR_FRAGMENT = `${COMMON}
${MAP}
out vec4 o_colour;
vec3 colourOf(int id, float hatch) {
  int parcel = max(id - 1, 0);
  vec4 texel = texelFetch(u_colours, ivec2(parcel & 255, parcel >> 8), 0);
  return mix(texel.rgb, u_ink, hatch * (1.0 - texel.a));
}
void main() {
  ivec2 at = ivec2(gl_FragCoord.xy);
  vec4 how = texelFetch(u_how, at, 0);
  ivec2 ids = idsOf(texelFetch(u_who, at, 0));
  float stripe = mod(gl_FragCoord.x + gl_FragCoord.y, 7.0 * u_pixels) / u_pixels;
  float hatch = 0.16 * smoothstep(1.8, 1.0, abs(stripe - 2.0));
  vec3 base = mix(colourOf(ids.x, hatch), colourOf(ids.y, hatch), how.g) * how.r * 1.25;
  vec3 solid = mix(base, u_ink, how.a);
  float through = (1.0 - how.b) * how.a;
  o_colour = vec4(solid * how.b + u_ink * through, how.b + through);
}`;

/** The line around one parcel, mostly on its outer side: small parcels keep their colour. */
export const MARK_FRAGMENT = `${COMMON}
${MAP}
uniform int u_parcel;
uniform float u_width;                     // CSS px
out vec4 o_colour;
void main() {
  ivec2 at = ivec2(gl_FragCoord.xy);
  float inside = 0.0;
  for (int k = 0; k < 16; k += 1) {
    float angle = float(k) * 0.39269908;
    ivec2 near = at + ivec2(round(vec2(cos(angle), sin(angle)) * u_width * u_pixels));
    inside += idsOf(texelFetch(u_who, near, 0)).x == u_parcel + 1 ? 1.0 / 16.0 : 0.0;
  }
  float line = smoothstep(0.02, 0.25, inside) * (1.0 - smoothstep(0.55, 0.85, inside));
  // Black or white, whichever stands out from the parcel that it marks.
  vec3 base = texelFetch(u_colours, ivec2(u_parcel & 255, u_parcel >> 8), 0).rgb;
  float mark = dot(base, vec3(0.299, 0.587, 0.114)) > 0.45 ? 0.04 : 1.0;
  o_colour = vec4(vec3(mark), 1.0) * line;
}`;
