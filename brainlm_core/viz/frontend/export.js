// The picture as a file: brains, titles, legends, unit and moment, as on screen, at twice the size.

import { css, number } from "./colour.js";

const SCALE = 2;

export async function exportPng(view) {
  const picture = drawPicture(view);
  const blob = await new Promise((resolve) => { picture.toBlob(resolve, "image/png"); });
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = `${view.panels[0].title.replace(/[^\p{L}\p{N}]+/gu, "-").toLowerCase() || "brain"}.png`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  return blob;
}

export function drawPicture(view) {
  const { canvas, size } = view;
  const moment = view.clock.nFrames > 1 ? view.clock.words() : "";
  const bottom = moment ? 40 : 8;
  const picture = document.createElement("canvas");
  picture.width = (size.width + 32) * SCALE;
  picture.height = (size.height + 24 + bottom) * SCALE;
  const context = picture.getContext("2d");
  context.fillStyle = css(view.paper);
  context.fillRect(0, 0, picture.width, picture.height);
  context.scale(SCALE, SCALE);
  context.translate(16, 16);
  const before = { width: canvas.width, height: canvas.height, pixels: view.pixels, hovered: view.hovered };
  Object.assign(canvas, { width: size.width * SCALE, height: size.height * SCALE });
  Object.assign(view, { pixels: SCALE, hovered: null });
  view.picture.refine();
  view.drawNow();
  context.drawImage(canvas, 0, 0, size.width, size.height);
  Object.assign(canvas, { width: before.width, height: before.height });
  Object.assign(view, { pixels: before.pixels, hovered: before.hovered });
  view.picture.refine();
  view.drawNow();
  const font = getComputedStyle(view.root).fontFamily;
  const origin = view.grid.getBoundingClientRect();
  const place = (node) => {
    const box = node.getBoundingClientRect();
    return { x: box.x - origin.x, y: box.y - origin.y, width: box.width, height: box.height };
  };
  const write = (text, x, y, align, weight = 400, px = 13, colour = view.ink) => {
    context.font = `${weight} ${px}px ${font}`;
    context.fillStyle = css(colour);
    context.textAlign = align;
    context.textBaseline = "middle";
    context.fillText(text, x, y);
  };
  for (const panel of view.panels) {
    const title = place(panel.root.querySelector(".bv-title"));
    write(panel.title, title.x, title.y + title.height / 2, "left", 600, 16);
    for (const caption of panel.captions) {
      if (caption.hidden || !caption.textContent) continue;
      const at = place(caption);
      write(caption.textContent, at.x + at.width / 2, at.y + at.height / 2, "center", 400, 12, muted(view));
    }
    drawLegend(context, panel, view, place, write);
  }
  if (moment) write(moment, size.width / 2, size.height + 18, "center", 600, 14);
  return picture;
}

const muted = (view) => view.ink.map((v, i) => Math.round(0.65 * v + 0.35 * view.paper[i]));

function drawLegend(context, panel, view, place, write) {
  const ramp = panel.legend.querySelector(".bv-ramp");
  if (ramp) {
    const at = place(ramp), { scale } = panel;
    const gradient = context.createLinearGradient(at.x, 0, at.x + at.width, 0);
    for (let i = 0; i <= 32; i += 1) {
      const k = Math.round((i / 32) * 255);
      gradient.addColorStop(i / 32, css(scale.table.subarray(k * 3, k * 3 + 3)));
    }
    context.fillStyle = gradient;
    context.fillRect(at.x, at.y, at.width, at.height);
    scale.ticks().forEach((value, i) => {
      const sign = i === 0 && scale.below ? "\u2264\u2009" : i === 2 && scale.above ? "\u2265\u2009" : "";
      write(sign + number(value), at.x + (at.width * i) / 2, at.y + at.height + 11, ["left", "center", "right"][i], 400, 12);
    });
    const unit = panel.legend.querySelector(".bv-unit");
    if (unit) {
      const where = place(unit);
      write(unit.textContent, where.x, where.y + where.height / 2, "left", 400, 12);
    }
  }
  for (const item of panel.legend.querySelectorAll(".bv-category")) {
    const swatch = place(item.querySelector(".bv-swatch"));
    context.fillStyle = getComputedStyle(item.querySelector(".bv-swatch")).backgroundColor;
    context.fillRect(swatch.x, swatch.y, swatch.width, swatch.height);
    write(item.textContent, swatch.x + swatch.width + 6, swatch.y + swatch.height / 2, "left", 400, 12);
  }
}
