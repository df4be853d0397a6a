// Entry point: Streamlit calls this at every message and theme change.

// All modules by name, so that the browser asks for them at once and not level by level.
import "./camera.js";
import "./clock.js";
import "./colour.js";
import "./controls.js";
import "./export.js";
import "./panel.js";
import "./picture.js";
import "./places.js";
import "./pointer.js";
import "./renderer.js";
import "./shaders.js";
import "./surface.js";
import "./timeline.js";
import "./tooltip.js";
import "./transport.js";
import { BrainView } from "./view.js";

const views = new WeakMap();

export default function brainView({ data, parentElement, setStateValue, setTriggerValue }) {
  let view = views.get(parentElement);
  if (!view) {
    view = new BrainView(parentElement);
    views.set(parentElement, view);
  }
  view.connect({
    pick: (event) => setTriggerValue("pick", event),
    status: (text) => setStateValue("status", text),
  });
  view.update(data);
  const host = parentElement.host ?? parentElement;
  return () => {
    // Streamlit may also clean up after a call that a newer one has overtaken: only the loss of
    // the element itself ends the view (and frees one of the browser's few WebGL contexts).
    setTimeout(() => {
      if (host.isConnected) return;
      view.destroy();
      views.delete(parentElement);
    });
  };
}
