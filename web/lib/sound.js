/** Playback of a file, or of a part of it. Starting one sound stops the one that is playing. */

import { follow, preferences } from "./preferences.js";

const WHOLE = [0, Infinity];
const NEAR = 0.02; // seconds; a browser rounds positions
const EVENTS = ["play", "pause", "ended", "seeked", "timeupdate", "durationchange"];

let current = null;

export class Sound {
  #audio = new Audio();
  #offset = 0; // of time 0 in the file
  #part = WHOLE; // what is played, and repeated
  #end = Infinity; // where playback stops or starts again
  #loop = false;
  #frame = 0;

  /** onUpdate: called when playback starts, advances or ends, and when the duration or the preferences change. */
  constructor(onUpdate) {
    this.onUpdate = onUpdate;
    this.failed = false;
    this.#audio.preload = "metadata";
    this.#audio.preservesPitch = true;
    for (const event of EVENTS) this.#audio.addEventListener(event, () => this.#changed());
    this.#audio.addEventListener("loadedmetadata", () => this.#stayInside());
    this.#audio.addEventListener("error", () => this.#fail());
    this.#setVolume();
    follow(this);
  }

  get playing() {
    return !this.#audio.paused && !this.#audio.ended;
  }

  get time() {
    return this.#audio.currentTime - this.#offset;
  }

  /** In seconds, or null while unknown. */
  get duration() {
    const seconds = this.#audio.duration - this.#offset;
    return Number.isFinite(seconds) ? seconds : null;
  }

  get loop() {
    return this.#loop;
  }

  set loop(loop) {
    this.#loop = loop;
    this.#repeatWhole();
  }

  /** Factor of the speed; the pitch stays. */
  set speed(speed) {
    if (this.#audio.playbackRate === speed) return;
    this.#audio.defaultPlaybackRate = speed; // loading a file resets the speed to this one
    this.#audio.playbackRate = speed;
  }

  /** The part that is played, [start, end] in seconds. */
  set part(part) {
    if (this.#end === this.#part[1]) this.#end = part[1];
    this.#part = part;
    this.#repeatWhole();
  }

  /** Open a file, or nothing. time: where to start. offset: of time 0 in the file. All in seconds. */
  load(url, { time = 0, offset = 0 } = {}) {
    this.stop();
    this.failed = false;
    this.#offset = offset;
    this.part = WHOLE;
    this.#end = Infinity;
    if (!url) return this.#audio.removeAttribute("src");
    this.#audio.src = url;
    this.#audio.currentTime = time + offset;
    return undefined;
  }

  /** Resume, or play from a time, up to a time. */
  play(from = null, to = this.#part[1]) {
    if (current !== this) current?.pause();
    current = this;
    const [start, end] = this.#part;
    const outside = this.time < start - NEAR || this.time >= end - NEAR;
    if (from !== null || outside) this.#audio.currentTime = (from ?? start) + this.#offset;
    this.#end = to;
    this.#repeatWhole();
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
    this.#end = time < this.#part[1] ? this.#part[1] : Infinity;
    this.#audio.currentTime = Math.min(Math.max(time, 0), this.duration ?? 0) + this.#offset;
  }

  stop() {
    this.#audio.pause();
    if (current === this) current = null;
  }

  applyPreferences() {
    this.#setVolume();
    this.onUpdate();
  }

  #setVolume() {
    const { volume, muted } = preferences();
    this.#audio.volume = volume;
    this.#audio.muted = muted;
  }

  /** Let the browser repeat a whole file, which it does without a gap. */
  #repeatWhole() {
    this.#audio.loop = this.#loop && this.#part[0] <= 0 && this.#end === Infinity;
  }

  /** Start at the beginning where another song is too short for the position to start from. */
  #stayInside() {
    const { duration } = this;
    if (duration !== null && this.time >= duration - NEAR) this.#audio.currentTime = this.#offset;
  }

  #changed() {
    cancelAnimationFrame(this.#frame);
    const finished = this.#audio.ended || (this.playing && this.time >= this.#end);
    if (finished && this.#loop) this.play(this.#part[0]);
    else if (finished && this.playing) this.pause();
    if (this.playing) this.#frame = requestAnimationFrame(() => this.#changed());
    this.onUpdate();
  }

  #fail() {
    this.failed = this.#audio.hasAttribute("src");
    this.onUpdate();
  }
}
