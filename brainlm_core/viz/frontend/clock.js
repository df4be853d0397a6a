// One clock for all panels: the frame on screen, whether it runs, how fast.

const REAL_TIME = [1, 2, 5, 10, 20, 50];
const PER_SECOND = [2, 5, 10, 20];

export class Clock {
  /** `onFrame(frame)` after every change of frame, `onState()` after every other change. */
  constructor(onFrame, onState) {
    this.frame = 0;
    this.nFrames = 1;
    this.times = null;
    this.playing = false;
    this.speed = null;
    this.onFrame = onFrame;
    this.onState = onState;
    this.handle = 0;
  }

  configure(nFrames, times) {
    this.times = times;
    this.nFrames = nFrames;
    const speeds = times ? REAL_TIME : PER_SECOND;
    const otherUnit = this.speeds && this.speeds !== speeds; // ten frames a second are not ten times as fast
    this.speeds = speeds;
    if (otherUnit || !speeds.includes(this.speed)) this.speed = this.#defaultSpeed();
    if (this.frame >= nFrames) this.frame = nFrames - 1;
    if (nFrames < 2) this.pause();
  }

  /** Seconds of the wall clock that the frame after this one waits. */
  #wait(frame) {
    if (!this.times) return 1 / this.speed;
    const next = Math.min(frame + 1, this.nFrames - 1);
    return Math.max((this.times[next] - this.times[next - 1]) / this.speed, 1 / 60);
  }

  #defaultSpeed() {
    if (!this.times || this.nFrames < 2) return this.times ? 1 : 10;
    const step = (this.times[this.nFrames - 1] - this.times[0]) / (this.nFrames - 1);
    return REAL_TIME.find((speed) => speed / step >= 6) ?? REAL_TIME.at(-1);
  }

  seek(frame) {
    const target = Math.max(0, Math.min(this.nFrames - 1, Math.round(frame)));
    if (target === this.frame) return;
    this.frame = target;
    this.onFrame(target);
  }

  step(by) {
    this.pause();
    this.seek((this.frame + by + this.nFrames) % this.nFrames);
  }

  setSpeed(speed) {
    this.speed = speed;
    this.onState();
  }

  toggle() {
    if (this.playing) this.pause();
    else this.play();
  }

  play() {
    if (this.playing || this.nFrames < 2) return;
    this.playing = true;
    this.onState();
    let due = performance.now() + this.#wait(this.frame) * 1000;
    const tick = (now) => {
      if (!this.playing) return;
      if (now >= due) {
        const next = (this.frame + 1) % this.nFrames;
        due = Math.max(due + this.#wait(next) * 1000, now); // a slow machine plays slower, it skips nothing
        this.seek(next);
      }
      this.handle = requestAnimationFrame(tick);
    };
    this.handle = requestAnimationFrame(tick);
  }

  pause() {
    cancelAnimationFrame(this.handle);
    if (!this.playing) return;
    this.playing = false;
    this.onState();
  }

  /** The moment on screen in words. */
  words(frame = this.frame) {
    if (!this.times) return `${frame + 1} of ${this.nFrames}`;
    const digits = this.times[this.nFrames - 1] - this.times[0] < 100 ? 2 : 1;
    return `${this.times[frame].toFixed(digits)}\u2009s`.replace("-", "\u2212");
  }
}
