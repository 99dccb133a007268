/** Playing a file. Starting one sound stops the one that plays. */

let sounding = null;

export class Sound {
  #audio = new Audio();
  #end = Infinity;
  #frame = 0;

  /** told: called when playing starts, moves on, or ends, and when the length becomes known. */
  constructor(told) {
    this.told = told;
    this.failed = false;
    this.#audio.preload = "metadata";
    for (const event of ["play", "pause", "ended", "seeked", "durationchange"]) {
      this.#audio.addEventListener(event, () => this.#changed());
    }
    this.#audio.addEventListener("error", () => this.#fail());
  }

  get playing() {
    return !this.#audio.paused && !this.#audio.ended;
  }

  get time() {
    return this.#audio.currentTime;
  }

  /** Seconds; null while it is unknown. */
  get duration() {
    return Number.isFinite(this.#audio.duration) ? this.#audio.duration : null;
  }

  load(url) {
    this.stop();
    this.failed = false;
    if (url) this.#audio.src = url;
    else this.#audio.removeAttribute("src");
  }

  /** Play on, or from a time; up to a time where one is given. */
  play(from = null, to = Infinity) {
    if (sounding !== this) sounding?.pause();
    sounding = this;
    this.#end = to;
    if (from !== null) this.#audio.currentTime = from;
    // A play that is paused before it starts is refused; what cannot be played at all is told of by the error event.
    this.#audio.play().catch(() => this.told());
  }

  pause() {
    this.#audio.pause();
  }

  toggle() {
    if (this.playing) this.pause();
    else this.play();
  }

  seek(time) {
    this.#end = Infinity;
    this.#audio.currentTime = Math.min(Math.max(time, 0), this.duration ?? 0);
  }

  stop() {
    this.#audio.pause();
    if (sounding === this) sounding = null;
  }

  #changed() {
    cancelAnimationFrame(this.#frame);
    if (this.playing && this.time >= this.#end) {
      this.#end = Infinity;
      this.pause();
    }
    if (this.playing) this.#frame = requestAnimationFrame(() => this.#changed());
    this.told();
  }

  #fail() {
    this.failed = this.#audio.hasAttribute("src");
    this.told();
  }
}
