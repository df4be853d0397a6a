// Play, step, scrub: controls of the clock, with the border of what the model saw.

import { element } from "./colour.js";
import { ICONS, iconButton } from "./controls.js";

export class Timeline {
  constructor(clock) {
    this.clock = clock;
    this.root = element("div", "bv-timeline");
    this.play = iconButton(ICONS.play, "Play", () => clock.toggle());
    this.play.classList.add("bv-play");
    const back = iconButton(ICONS.back, "One frame back", () => clock.step(-1));
    const forth = iconButton(ICONS.forth, "One frame forward", () => clock.step(1));
    const track = element("div", "bv-track");
    this.seen = element("div", "bv-seen");
    this.border = element("div", "bv-border");
    this.slider = element("input", "bv-scrub");
    Object.assign(this.slider, { type: "range", min: 0, step: 1 });
    this.slider.setAttribute("aria-label", "Time");
    this.slider.addEventListener("input", () => {
      clock.pause();
      clock.seek(this.slider.valueAsNumber);
    });
    track.append(this.seen, this.border, this.slider);
    this.now = element("output", "bv-now");
    this.speed = element("select", "bv-speed");
    this.speed.setAttribute("aria-label", "Speed");
    this.speed.addEventListener("change", () => clock.setSpeed(Number(this.speed.value)));
    this.root.append(this.play, back, forth, track, this.now, this.speed);
  }

  configure(seenUntil) {
    const { clock } = this;
    this.root.hidden = clock.nFrames < 2;
    if (this.root.hidden) return;
    this.slider.max = clock.nFrames - 1;
    this.speed.replaceChildren(...clock.speeds.map((speed) => {
      const option = element("option", "", clock.times ? `${speed}×` : `${speed}/s`);
      option.value = speed;
      return option;
    }));
    this.speed.title = clock.times ? "Speed, in multiples of real time" : "Frames per second";
    this.#markSeen(seenUntil);
    this.now.style.minWidth = `${Math.max(...[0, clock.nFrames - 1].map((f) => clock.words(f).length)) + 1}ch`;
    this.refresh();
  }

  #markSeen(seenUntil) {
    const { times, nFrames } = this.clock;
    const marked = times && seenUntil !== null && seenUntil !== undefined;
    this.border.hidden = !marked;
    this.seen.style.width = "100%";
    if (!marked) return;
    // The border lies between the last frame seen and the first one that is not.
    const unseen = times.findIndex((time) => time > seenUntil + 1e-6);
    const at = unseen < 0 ? nFrames - 0.5 : unseen - 0.5;
    const share = Math.max(0, Math.min(1, at / (nFrames - 1)));
    this.share = share;
    this.seen.style.width = `${share * 100}%`;
    this.border.style.left = `${share * 100}%`;
    this.border.dataset.text = "seen | not seen";
    this.border.title = `The model saw the data up to ${seenUntil.toFixed(1)} s`;
    this.unseen = unseen;
  }

  refresh() {
    const { clock } = this;
    if (this.root.hidden) return;
    this.slider.value = clock.frame;
    const unseen = !this.border.hidden && this.unseen >= 0 && clock.frame >= this.unseen;
    this.slider.setAttribute("aria-valuetext", clock.words() + (this.border.hidden ? "" : unseen ? ", not seen by the model" : ", seen by the model"));
    this.now.textContent = clock.words();
    this.root.classList.toggle("bv-now-unseen", unseen);
    this.speed.value = clock.speed;
    const label = clock.playing ? "Pause" : "Play";
    if (this.play.getAttribute("aria-label") !== label) {
      this.play.setAttribute("aria-label", label);
      this.play.title = `${label} (space)`;
      this.play.innerHTML = clock.playing ? ICONS.pause : ICONS.play;
    }
  }
}
