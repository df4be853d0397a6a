// What the picture is, in a few words and a sentence.

import { number } from "../brainlm-explorer.brain_view/colour.js";

const sd = (value) => `${number(Number(value.toPrecision(2)))}\u2009SD`;
const percent = ({ gap, size }) => (size > 0 ? ` (${Math.round((100 * gap) / size)}\u2009% of the response)` : "");

/** [what it is, more about it]. */
export function inWords({ exact, dragging, complete, active, interaction, change, header }) {
  if (!active) return ["All sliders are neutral.", "Drag one, or click a parcel on the brain to add it."];
  if (!exact) {
    if (!complete) {
      const why = header.loading ? "The model is being loaded." : "Single responses are still being prepared.";
      return ["The model is answering.", why];
    }
    return ["First-order picture:", `the sum of the single sliders. ${dragging ? "The model answers when you let go." : "The model is answering."}`];
  }
  const rest = [];
  if (change) rest.push(`B differs from A by ${sd(change.gap)}.`);
  if (interaction && interaction.gap < 0.005 * interaction.size) rest.push("The picture while dragging was the same.");
  else if (interaction && active > 1) rest.push(`Interaction: it differs from the sum of the sliders by ${sd(interaction.gap)}${percent(interaction)}.`);
  else if (interaction) rest.push(`It differs from the picture while dragging by ${sd(interaction.gap)}${percent(interaction)}.`);
  return ["Exact answer.", rest.join(" ")];
}
