// Entry point: Streamlit calls this at every message and theme change.

import { PerturbView } from "./perturb.js";

const views = new WeakMap();

export default function perturbView({ data, parentElement, setStateValue, setTriggerValue }) {
  let view = views.get(parentElement);
  if (!view) {
    view = new PerturbView(parentElement);
    views.set(parentElement, view);
  }
  view.connect({
    release: (event) => setTriggerValue("release", event),
    status: (text) => setStateValue("status", text),
  });
  view.update(data);
  const host = parentElement.host ?? parentElement;
  return () => {
    setTimeout(() => { // only the loss of the element itself ends the view
      if (host.isConnected) return;
      view.destroy();
      views.delete(parentElement);
    });
  };
}
