// GLSL. All views are orthographic: sizes compare across the picture.

const COMMON = `#version 300 es
precision highp float;
precision highp int;
`;

export const SURFACE_VERTEX = `${COMMON}
layout(location = 0) in vec4 a_pial;       // xyz in steps, sulcal depth
layout(location = 1) in vec4 a_inflated;
layout(location = 2) in vec4 a_pialNormal;
layout(location = 3) in vec4 a_inflatedNormal;
layout(location = 4) in uvec4 a_labels;    // parcels of this triangle
layout(location = 5) in vec4 a_weights;    // how much this corner belongs to each
uniform float u_morph, u_steps;
uniform mat3 u_view;
uniform vec3 u_shift;                      // mm, scene
uniform vec2 u_scale, u_offset;            // mm to clip space
flat out uvec3 v_labels;
centroid out vec3 v_weights;
out vec3 v_normal;
out float v_sulc;
invariant gl_Position;
void main() {
  vec3 p = u_view * (mix(a_pial.xyz, a_inflated.xyz, u_morph) / u_steps + u_shift);
  gl_Position = vec4(p.xy * u_scale + u_offset, -p.z / 400.0, 1.0);
  v_normal = u_view * mix(a_pialNormal.xyz, a_inflatedNormal.xyz, u_morph);
  v_weights = a_weights.xyz;
  v_labels = a_labels.xyz;
  v_sulc = a_pial.w / 127.0;
}`;

const SHADING = `
uniform sampler2D u_colours;               // one texel per parcel; alpha 0 marks "no data"
uniform vec3 u_ink;                        // text colour of the theme
uniform float u_pixels;                    // device pixels per CSS pixel
uniform uint u_picked, u_hovered;
uniform int u_pass;                        // 0 colour, 1 identity, 2 glass
vec4 identity(uint parcel) {
  uint id = parcel + 1u;
  return vec4(float(id & 255u), float((id >> 8) & 255u), 0.0, 255.0) / 255.0;
}
vec3 colourOf(uint parcel) {
  vec4 texel = texelFetch(u_colours, ivec2(int(parcel & 255u), int(parcel >> 8)), 0);
  float stripe = mod(gl_FragCoord.x + gl_FragCoord.y, 7.0 * u_pixels);
  float hatch = texel.a < 0.5 ? smoothstep(1.8, 1.0, abs(stripe / u_pixels - 2.0)) : 0.0;
  return mix(texel.rgb, u_ink, 0.16 * hatch);
}
/** Black or white, whichever stands out from the parcel that it marks. */
vec3 markOn(vec3 base) {
  return vec3(dot(base, vec3(0.299, 0.587, 0.114)) > 0.45 ? 0.04 : 1.0);
}
vec3 lit(vec3 base, vec3 n) {
  float key = dot(n, normalize(vec3(-0.25, 0.55, 0.80)));
  float shade = 0.56 + 0.30 * smoothstep(-0.35, 1.0, key) + 0.20 * smoothstep(0.0, 0.85, n.z);
  float gloss = pow(max(dot(n, normalize(vec3(-0.13, 0.28, 0.95))), 0.0), 26.0);
  return base * shade + 0.045 * gloss;
}
`;

export const SURFACE_FRAGMENT = `${COMMON}
flat in uvec3 v_labels;
centroid in vec3 v_weights;
in vec3 v_normal;
in float v_sulc;
uniform float u_sulcus, u_outline;
out vec4 o_colour;
${SHADING}
void main() {
  // A border is the straight line on which two parcels weigh the same: it continues from
  // triangle to triangle and is crisp at any zoom.
  uvec3 l = v_labels;
  vec3 w = v_weights;
  bool swap = w.y > w.x;
  uint first = swap ? l.y : l.x, second = swap ? l.x : l.y;
  vec3 m1 = swap ? vec3(0.0, 1.0, 0.0) : vec3(1.0, 0.0, 0.0), m2 = vec3(1.0, 1.0, 0.0) - m1;
  if (w.z > max(w.x, w.y)) { second = first; m2 = m1; first = l.z; m1 = vec3(0.0, 0.0, 1.0); }
  else if (w.z > min(w.x, w.y)) { second = l.z; m2 = vec3(0.0, 0.0, 1.0); }

  if (u_pass == 1) { o_colour = identity(first); return; }

  vec3 n = normalize(v_normal);
  bool inside = second == 0xffffu;
  vec3 dm = m1 - m2;
  vec2 slope = vec2(dot(dm, dFdx(w)), dot(dm, dFdy(w)));
  float distance = inside ? 1e6 : dot(dm, w) / max(length(slope), 1e-6) / u_pixels;  // CSS px to the border

  if (u_pass == 2) {
    float rim = pow(1.0 - clamp(n.z, 0.0, 1.0), 2.5);
    o_colour = vec4(u_ink, 0.035 + 0.34 * rim);
    o_colour.rgb *= o_colour.a;
    return;
  }

  vec3 base = colourOf(first);
  if (!inside) base = mix(mix(base, colourOf(second), 0.5), base, clamp(0.5 + distance * u_pixels, 0.0, 1.0));
  float depth = smoothstep(-0.25, 0.9, v_sulc);
  vec3 colour = lit(base, n) * (1.0 - u_sulcus * depth);
  // A darker seam of the same hue: parcels stay apart where their colours do not.
  colour *= 1.0 - 0.26 * u_outline * (1.0 - smoothstep(0.3, 1.1, distance));
  bool picked = first == u_picked || second == u_picked, hovered = first == u_hovered || second == u_hovered;
  if (picked || hovered) {
    uint parcel = picked ? u_picked : u_hovered;
    float wide = picked ? 2.4 : 1.4;
    colour = mix(colour, markOn(colourOf(parcel)), 1.0 - smoothstep(wide - 0.5, wide + 0.5, distance));
  }
  o_colour = vec4(colour, 1.0);
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
  float radius = a_place.w;
  vec3 p = u_view * (a_place.xyz + u_shift + vec3(a_parcel.y * u_gap, 0.0, 0.0));
  p.xy += at * radius * 1.08;
  gl_Position = vec4(p.xy * u_scale + u_offset, -p.z / 400.0, 1.0);
  v_at = at * 1.08;
  v_depth = p.z;
  v_radius = radius;
  v_parcel = uint(a_parcel.x);
}`;

export const SPHERE_FRAGMENT = `${COMMON}
flat in uint v_parcel;
flat in float v_radius;
in vec2 v_at;
in float v_depth;
out vec4 o_colour;
${SHADING}
void main() {
  float r = length(v_at);
  float soft = fwidth(r);
  float cover = 1.0 - smoothstep(1.0 - soft, 1.0 + soft, r);
  if (cover <= 0.0 || (u_pass == 1 && r > 1.0)) discard;
  vec3 n = vec3(v_at, sqrt(max(1.0 - r * r, 0.0)));
  gl_FragDepth = 0.5 - 0.5 * (v_depth + n.z * v_radius) / 400.0;
  if (u_pass == 1) { o_colour = identity(v_parcel); return; }
  vec3 colour = lit(colourOf(v_parcel), n);
  colour *= 1.0 - 0.25 * smoothstep(0.86, 0.96, r);
  if (v_parcel == u_picked) colour = mix(colour, markOn(colourOf(v_parcel)), smoothstep(0.62, 0.68, r));
  else if (v_parcel == u_hovered) colour = mix(colour, markOn(colourOf(v_parcel)), smoothstep(0.74, 0.80, r));
  o_colour = vec4(colour, 1.0) * cover;
}`;
