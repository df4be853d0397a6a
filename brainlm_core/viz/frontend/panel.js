// One brain's frame on the page: title, stage, captions, legend. The canvas lies behind all of them.

import { buildLegend, element } from "./colour.js";

const KEYS = {
  moving: "Space plays, left and right arrow step, plus and minus zoom, shift and arrows turn",
  still: "Arrow keys walk from parcel to parcel, Enter picks, plus and minus zoom, shift and arrows turn",
};

/** Gives a panel its elements, those of `old` if there are any: focus and pointer stay where they are. */
export function buildPanel(panel, old, moving, onOnly) {
  if (old) {
    Object.assign(panel, { rect: old.rect, tiles: old.tiles, root: old.root, heading: old.heading, stage: old.stage, captions: old.captions, pointer: old.pointer });
  } else {
    panel.root = element("section", "bv-panel");
    panel.heading = element("h3", "bv-title");
    panel.stage = element("div", "bv-stage");
    panel.stage.tabIndex = 0;
    panel.stage.setAttribute("role", "img");
    panel.captions = [];
    panel.root.append(panel.heading, panel.stage);
  }
  panel.heading.textContent = panel.title;
  panel.stage.setAttribute("aria-label", panel.alt);
  panel.stage.setAttribute("aria-description", moving ? KEYS.moving : KEYS.still);
  const { below, above, hasGaps, gap, theme } = panel.scale, before = old?.explains;
  panel.explains = JSON.stringify([panel.scale.kind, panel.unit, panel.limits, panel.categories, below, above, hasGaps, gap, theme]);
  if (before === panel.explains) {
    panel.legend = old.legend;
    return;
  }
  old?.legend.remove();
  panel.legend = buildLegend(panel.scale, onOnly);
  panel.root.append(panel.legend);
}

/** Height of a stage in CSS px; `tall` for the overview with deep parcels, which may stand below. */
export function stageHeight(width, wanted, tall) {
  if (width >= 620) return Math.round(wanted);
  return Math.round(Math.min(wanted * 1.2, Math.max(260, width * (tall ? 1.5 : 0.86))));
}

/** Writes under each tile what it shows; once turned, only which hemisphere it is. */
export function placeCaptions(panel, turned) {
  const { rect } = panel;
  panel.tiles.forEach((tile, i) => {
    const caption = (panel.captions[i] ??= panel.stage.appendChild(element("span", "bv-caption")));
    const side = tile.hemispheres.length === 2 ? "" : tile.hemispheres[0] ? "Right" : "Left";
    caption.hidden = false;
    caption.textContent = turned ? side : tile.caption;
    caption.style.left = `${tile.rect.x - rect.x + tile.rect.width / 2}px`;
    caption.style.top = `${tile.rect.y - rect.y + tile.rect.height}px`;
  });
  panel.captions.slice(panel.tiles.length).forEach((caption) => { caption.hidden = true; });
}
