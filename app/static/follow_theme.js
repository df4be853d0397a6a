// Charts are drawn on the server in the colours of the theme; when the browser changes it, the page runs again.
const told = new WeakMap();

const isDark = (colour) => {
  const probe = document.createElement("canvas").getContext("2d");
  probe.fillStyle = colour;
  const [r, g, b] = [1, 3, 5].map((i) => parseInt(probe.fillStyle.slice(i, i + 2), 16));
  return 0.299 * r + 0.587 * g + 0.114 * b < 128;
};

export default function followTheme({ data, parentElement, setTriggerValue }) {
  const host = parentElement.host ?? parentElement;
  const paper = getComputedStyle(host).getPropertyValue("--st-background-color").trim();
  const shown = isDark(paper) ? "dark" : "light";
  document.documentElement.style.colorScheme = shown; // popovers hang on the page itself, outside of the app
  if (shown === data.drawn || told.get(host) === shown) {
    if (shown === data.drawn) told.delete(host);
    return;
  }
  told.set(host, shown); // once: a server that cannot follow is not asked for ever
  setTriggerValue("changed", shown);
}
