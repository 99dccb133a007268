/** A player for the songs of a run: choose, compare, play, seek on the waveform, download. */

import { Controls } from "./controls.js";
import { button, claim, element, icon, relabel, shield } from "./dom.js";
import { peaksOf } from "./peaks.js";
import { preferences } from "./preferences.js";
import { Sound } from "./sound.js";
import { clock } from "./timeline.js";
import { draw, emptyWaveform } from "./waveform.js";
import { t } from "./words.js";

const STEP = 5; // seconds that an arrow key moves

export class Player {
  #sound = new Sound(() => this.#update());
  #items = [];
  #chosen = 0;
  #length = null;

  /**
   * emptyText: shown while there is nothing to play. extra: elements added to the row of buttons. overlay: drawn on the
   * waveform, {elements, render(duration)}; duration in seconds, 0 while unknown.
   */
  constructor(emptyText, { extra = [], overlay = null } = {}) {
    this.emptyText = emptyText;
    this.overlay = overlay;
    this.toggle = button("play", t("play"), () => this.#sound.toggle());
    this.controls = new Controls((loop) => {
      this.#sound.loop = loop;
    });
    this.clock = element("span", { class: "acestep-clock" });
    this.name = element("span", { class: "acestep-name" });
    this.download = element("a", { class: "acestep-button" }, icon("download"));
    relabel(this.download, t("download"));
    this.songs = element("div", { class: "acestep-songs", role: "radiogroup", "aria-label": t("songs") });
    this.songs.addEventListener("keydown", (event) => this.#walk(event));
    this.#buildTrack();
    this.element = element("div", { class: "acestep acestep-player", role: "group", "aria-label": t("player") });
    this.element.append(this.#row(extra), this.#caption(), this.songs, this.track);
    shield(this.element);
    this.show([]);
  }

  /** Show songs, each {url, name, and the text seed or null}. The selected index stays. */
  show(items) {
    this.#items = items;
    this.songs.hidden = items.length < 2;
    this.songs.replaceChildren(...items.map((item, index) => this.#chip(item, index)));
    this.choose(Math.min(this.#chosen, Math.max(items.length - 1, 0)));
  }

  /** Select a song of the batch, at a time in seconds; playback stops. */
  choose(index, time = 0) {
    this.#chosen = index;
    const item = this.#items[index];
    for (const [position, chip] of [...this.songs.children].entries()) {
      chip.setAttribute("aria-checked", position === index);
      chip.tabIndex = position === index ? 0 : -1;
    }
    this.element.classList.toggle("acestep-silent", !item);
    this.#sound.load(item?.url, { time });
    const parts = [item?.name, item?.seed].filter(Boolean);
    this.name.textContent = parts.join(" · ");
    this.name.title = parts.join("\n");
    if (item) Object.assign(this.download, { href: item.url, download: item.name });
    this.#length = null;
    this.#outline(item);
    this.#update();
  }

  /** The index of the selected song. */
  get chosen() {
    return this.#chosen;
  }

  /** The part that is played, [start, end] in seconds. */
  set part(part) {
    this.#sound.part = part;
  }

  get playing() {
    return this.#sound.playing;
  }

  stop() {
    this.#sound.stop();
  }

  #row(extra) {
    const { loop, speed, mute, volume } = this.controls;
    const tools = [this.toggle, loop, speed, mute, volume, element("span", { class: "acestep-gap" })];
    return element("div", { class: "acestep-row" }, ...tools, ...extra, this.download);
  }

  #caption() {
    return element("div", { class: "acestep-row acestep-caption" }, this.clock, this.name);
  }

  #buildTrack() {
    this.wave = emptyWaveform();
    this.played = emptyWaveform();
    this.played.classList.add("acestep-played");
    this.head = element("div", { class: "acestep-head" });
    this.message = element("p", { class: "acestep-message", role: "status" });
    this.track = element("div", { class: "acestep-track", role: "slider", tabindex: "0", "aria-valuemin": "0" });
    this.track.setAttribute("aria-label", t("position"));
    this.track.append(this.wave, this.played, this.head, this.message, ...(this.overlay?.elements ?? []));
    this.track.addEventListener("pointerdown", (event) => this.#grab(event));
    this.track.addEventListener("pointermove", (event) => {
      if (this.track.hasPointerCapture(event.pointerId)) this.#seekTo(event);
    });
    this.track.addEventListener("keydown", (event) => this.#key(event));
  }

  #chip(item, index) {
    const name = [item.name, item.seed].filter(Boolean).join(", ");
    const label = t("song", { number: index + 1, count: this.#items.length, name });
    const chip = element("button", { type: "button", role: "radio", class: "acestep-chip" }, String(index + 1));
    relabel(chip, label);
    chip.addEventListener("click", () => {
      // Songs are compared at the same place.
      const { playing, time } = this.#sound;
      this.choose(index, time);
      if (playing) this.#sound.play();
    });
    return chip;
  }

  async #outline(item) {
    draw(this.wave, null);
    draw(this.played, null);
    if (!item) return;
    try {
      const { duration, peaks } = await peaksOf(item.url);
      if (item !== this.#items[this.#chosen]) return;
      this.#length = duration;
      draw(this.wave, peaks);
      draw(this.played, peaks);
      this.#update();
    } catch {
      // The file may still play without a waveform; if not, the player says so.
    }
  }

  get #duration() {
    return this.#sound.duration ?? this.#length ?? 0;
  }

  #update() {
    const sound = this.#sound;
    sound.speed = preferences().speed;
    this.controls.update();
    const [time, duration] = [sound.time, this.#duration];
    const fraction = duration ? Math.min(time / duration, 1) : 0;
    this.element.style.setProperty("--acestep-share", fraction);
    this.clock.textContent = duration ? `${clock(time)} / ${clock(duration)}` : "";
    this.toggle.replaceChildren(icon(sound.playing ? "pause" : "play"));
    relabel(this.toggle, t(sound.playing ? "pause" : "play"));
    this.toggle.disabled = !this.#items.length || sound.failed;
    this.message.textContent = this.#items.length ? (sound.failed ? t("unplayable") : "") : this.emptyText;
    this.track.setAttribute("aria-valuemax", duration.toFixed(2));
    this.track.setAttribute("aria-valuenow", time.toFixed(2));
    this.track.setAttribute("aria-valuetext", t("position_of", { time: clock(time), length: clock(duration) }));
    this.overlay?.render(duration);
  }

  #grab(event) {
    if (event.button !== 0 || !this.#duration) return;
    this.track.setPointerCapture(event.pointerId);
    this.#seekTo(event);
  }

  #seekTo(event) {
    const box = this.track.getBoundingClientRect();
    this.#sound.seek(((event.clientX - box.left) / box.width) * this.#duration);
  }

  #key(event) {
    const moves = { ArrowLeft: -STEP, ArrowDown: -STEP, ArrowRight: STEP, ArrowUp: STEP };
    const ends = { Home: 0, End: this.#duration };
    if (event.key in moves) this.#sound.seek(this.#sound.time + moves[event.key] / (event.shiftKey ? STEP : 1));
    else if (event.key in ends) this.#sound.seek(ends[event.key]);
    else if (event.key === " " || event.key === "Enter") this.#sound.toggle();
    else return;
    claim(event);
  }

  /** Arrow keys move between songs, as in any radio group. */
  #walk(event) {
    const steps = { ArrowLeft: -1, ArrowUp: -1, ArrowRight: 1, ArrowDown: 1 };
    if (!(event.key in steps)) return;
    const count = this.#items.length;
    const next = this.songs.children[(this.#chosen + steps[event.key] + count) % count];
    next.click();
    next.focus();
    claim(event);
  }
}
