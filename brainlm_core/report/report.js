// Puts the brains of a report in place. Everything is in the page: nothing is fetched.

import { BrainView } from "./view.js";
import { provideConstant } from "./transport.js";

/** What a block of the page holds: base64 of gzip. */
async function bytesOf(id) {
  const text = document.getElementById(id).textContent.trim();
  const packed = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

const views = [];
let constants = null;

async function show(place) {
  constants ??= Promise.all(["surface", "parcellation"].map(async (name) => provideConstant(name, await bytesOf(`data-${name}`))));
  await constants;
  const view = new BrainView(place);
  views.push(view);
  view.connect({
    pick: () => {},
    status: () => place.classList.replace("live", "flat"), // no WebGL 2: the still picture stays
  });
  place.classList.replace("flat", "live");
  await view.update(await bytesOf(`data-${place.dataset.figure}`));
}

const watcher = new IntersectionObserver((entries) => {
  for (const { isIntersecting, target } of entries) {
    if (!isIntersecting) continue;
    watcher.unobserve(target);
    show(target).catch((error) => {
      console.error(error);
      target.classList.replace("live", "flat");
    });
  }
}, { rootMargin: "400px" });
document.querySelectorAll(".r-brain").forEach((place) => watcher.observe(place));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => views.forEach((view) => view.update(view.bytes)));
