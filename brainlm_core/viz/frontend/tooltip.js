// The words beside the pointer: parcel, network, value in every panel.

import { element } from "./colour.js";

export class Tooltip {
  constructor(container) {
    this.container = container;
    this.root = element("div", "bv-tooltip");
    this.root.hidden = true;
    container.append(this.root);
  }

  hide() {
    this.root.hidden = true;
  }

  /** `values`: [{title, words}] per panel; `point`: the pointer in window coordinates. */
  show(name, group, values, point) {
    const rows = values.map(({ title, words }) => {
      const row = element("div", "bv-value", words);
      if (values.length > 1) row.prepend(element("span", "bv-which", `${title} `));
      return row;
    });
    this.root.hidden = false;
    this.root.replaceChildren(element("strong", "", name), element("div", "bv-group", group), ...rows);
    const box = this.container.getBoundingClientRect();
    const { offsetWidth, offsetHeight } = this.root;
    const x = Math.min(Math.max(4, point.x - box.x + 14), box.width - offsetWidth - 4);
    let y = point.y - box.y + 18;
    if (y + offsetHeight > box.height) y = point.y - box.y - offsetHeight - 12;
    this.root.style.transform = `translate(${Math.round(x)}px, ${Math.round(y)}px)`;
  }
}
