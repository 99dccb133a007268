/** Playback of a file. Starting one sound stops the one that is playing. */

let current = null;

export class Sound {
  #audio = new Audio();
  #end = Infinity;
  #frame = 0;

  /** onUpdate: called when playback starts, advances or ends, and when the duration becomes known. */
  constructor(onUpdate) {
    this.onUpdate = onUpdate;
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

  /** In seconds, or null while unknown. */
  get duration() {
    return Number.isFinite(this.#audio.duration) ? this.#audio.duration : null;
  }

  load(url) {
    this.stop();
    this.failed = false;
    if (url) this.#audio.src = url;
    else this.#audio.removeAttribute("src");
  }

  /** Resume, or play from a time, optionally up to a time. */
  play(from = null, to = Infinity) {
    if (current !== this) current?.pause();
    current = this;
    this.#end = to;
    if (from !== null) this.#audio.currentTime = from;
    // Rejects if paused before it starts; an unplayable file also raises the error event.
    this.#audio.play().catch(() => this.onUpdate());
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
    if (current === this) current = null;
  }

  #changed() {
    cancelAnimationFrame(this.#frame);
    if (this.playing && this.time >= this.#end) {
      this.#end = Infinity;
      this.pause();
    }
    if (this.playing) this.#frame = requestAnimationFrame(() => this.#changed());
    this.onUpdate();
  }

  #fail() {
    this.failed = this.#audio.hasAttribute("src");
    this.onUpdate();
  }
}
