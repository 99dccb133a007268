/** The region picker: select and play regions on the waveform of the source. */

import { button, element, icon, relabel, shield } from "./dom.js";
import { cut, peaksOf } from "./peaks.js";
import { END, format, parse, region, rounded } from "./regions.js";
import { Sound } from "./sound.js";
import { clock, closeView, drawnLength, timeOf, wholeView } from "./timeline.js";
import { Track } from "./track.js";
import { t } from "./words.js";

const WHOLE = { start: 0, end: 0 };

export class RegionPicker {
  #sound = new Sound(() => this.#onPlayback());
  #inputs = {};
  #regions = [];
  #invalid = [];
  #selected = -1;
  #length = null;
  #cursor = 0;
  #view = null;
  #close = false;

  /** onChange: called with the new text whenever regions change; onCommit: when a change is complete. */
  constructor(onChange, onCommit) {
    this.onChange = onChange;
    this.onCommit = onCommit;
    this.track = new Track({
      add: (added) => this.#edit([...this.#regions, added], this.#regions.length),
      replace: (index, changed) => this.#edit(this.#regions.with(index, changed), index),
      remove: (index) => this.#remove(index),
      choose: (index) => this.#choose(index),
      seek: (time) => this.#seek(time),
      play: (index) => (index < 0 ? this.#playSource() : this.#playRegion(index)),
      insert: () => this.#insert(),
      settle: () => {
        this.#render();
        onCommit();
      },
    });
    this.playSource = button("play", t("play_source"), () => this.#playSource());
    this.playRegion = button("region", t("play_region"), () => this.#playRegion(this.#selected));
    this.add = button("add", t("add_region"), () => this.#insert());
    this.remove = button("remove", t("remove_region"), () => this.#remove(this.#selected));
    this.closer = button("closer", t("closer"), () => this.#zoom());
    this.status = element("span", { class: "acestep-status", role: "status" });
    const tools = [this.playSource, this.playRegion, this.add, this.remove, this.closer];
    const row = element("div", { class: "acestep-row" }, ...tools, this.status);
    this.element = element("div", { class: "acestep acestep-picker" }, row, this.track.element);
    shield(this.element);
    this.show({ text: "", url: null, part: WHOLE, locked: null });
  }

  /**
   * text: of the regions input. url: of the source's file, or null. part: the part of the file that is the source,
   * {start, end} in seconds, an end of 0 for that of the file. locked: why nothing can be drawn, or null.
   */
  show(inputs) {
    const previous = this.#inputs;
    this.#inputs = { part: WHOLE, ...inputs };
    if (inputs.text !== previous.text) this.#read(inputs.text);
    const opened = ({ url, part }) => JSON.stringify([url, part]);
    if (opened(this.#inputs) !== opened(previous)) this.#open(this.#inputs);
    this.#render();
  }

  stop() {
    this.#sound.stop();
  }

  #read(text) {
    const { regions, invalid } = parse(text);
    this.#regions = regions;
    this.#invalid = invalid;
    this.#selected = Math.min(this.#selected, regions.length - 1);
  }

  async #open({ url, part }) {
    this.#sound.load(url, { offset: part.start });
    this.#sound.part = [0, part.end ? part.end - part.start : Infinity];
    this.#length = null;
    this.#cursor = 0;
    this.track.outline(null);
    if (!url) return;
    try {
      const { duration, peaks } = cut(await peaksOf(url), part);
      if (url !== this.#inputs.url || part !== this.#inputs.part) return;
      this.#length = duration;
      this.track.outline(peaks);
      this.#render();
    } catch {
      // A file that the browser cannot decode gets a plain timeline; the status line says so.
    }
  }

  get #locked() {
    return Boolean(this.#inputs.locked || this.#invalid.length);
  }

  get #drawn() {
    return drawnLength(this.#length, this.#regions);
  }

  #edit(regions, selected) {
    if (this.#locked) return;
    this.#regions = regions;
    this.#selected = selected;
    this.#inputs = { ...this.#inputs, text: format(regions) };
    this.onChange(this.#inputs.text);
    this.#render();
    if (!this.track.dragging) this.onCommit();
  }

  #remove(index) {
    if (index < 0) return;
    this.#edit(this.#regions.toSpliced(index, 1), Math.min(index, this.#regions.length - 2));
    this.track.focus(this.#selected);
  }

  /** Add a region at the cursor: a tenth of the source long, cut at the end of the source. */
  #insert() {
    const length = this.#drawn;
    const start = rounded(this.#cursor);
    const end = rounded(start + Math.max(length / 10, 1));
    const pastEnd = this.#length !== null && start < length && end > length;
    this.#edit([...this.#regions, region(start, pastEnd ? END : end)], this.#regions.length);
    this.track.focus(this.#selected);
  }

  #choose(index) {
    this.#selected = index;
    this.#render();
  }

  #seek(time) {
    const { from, to } = this.#view;
    this.#cursor = Math.min(Math.max(time, from), to);
    this.#sound.seek(this.#cursor);
    this.#render();
  }

  #playSource() {
    if (this.#sound.playing) this.#sound.pause();
    else this.#sound.play(Math.max(this.#cursor, 0));
  }

  #playRegion(index) {
    const selected = this.#regions[Math.max(index, 0)];
    if (this.#sound.playing || !selected) this.#sound.pause();
    else this.#sound.play(Math.max(timeOf(selected.start, this.#drawn), 0), timeOf(selected.end, this.#drawn));
  }

  #zoom() {
    this.#close = !this.#close && this.#regions.length > 0;
    this.#render();
  }

  #onPlayback() {
    if (this.#sound.playing) this.#cursor = this.#sound.time;
    this.#render();
  }

  #render() {
    const length = this.#drawn;
    const nearest = this.#regions[Math.max(this.#selected, 0)];
    // The timeline must not move under a region that is being dragged.
    if (!this.track.dragging || !this.#view) {
      this.#view = this.#close && nearest ? closeView(nearest, length) : wholeView(length, this.#regions);
    }
    const state = { regions: this.#regions, selected: this.#selected, cursor: this.#cursor, locked: this.#locked };
    this.track.render({ ...state, view: this.#view, length, lengthKnown: this.#length !== null });
    this.#renderTools();
    this.status.textContent = this.#statusText();
    this.status.classList.toggle("acestep-error", this.#invalid.length > 0);
  }

  #renderTools() {
    const { playing, failed } = this.#sound;
    const silent = !this.#inputs.url || failed;
    this.playSource.replaceChildren(icon(playing ? "pause" : "play"));
    relabel(this.playSource, t(playing ? "pause" : "play_source"));
    this.playSource.disabled = silent;
    this.playRegion.disabled = silent || !this.#regions.length;
    this.add.disabled = this.#locked;
    this.remove.disabled = this.#locked || this.#selected < 0;
    this.closer.disabled = !this.#regions.length;
    this.closer.setAttribute("aria-pressed", this.#close);
  }

  #statusText() {
    if (this.#inputs.locked) return this.#inputs.locked;
    if (this.#invalid.length) return t("unreadable", { text: this.#invalid[0] });
    if (!this.#regions.length) return t("draw");
    if (!this.#inputs.url) return t("plain");
    if (this.#sound.failed) return t("unplayable");
    const selected = this.#regions[this.#selected];
    if (!selected) return this.#length === null ? "" : clock(this.#length, 1);
    const [start, end] = [timeOf(selected.start, this.#drawn), timeOf(selected.end, this.#drawn)];
    return `${clock(start, 2)} – ${clock(end, 2)} (${rounded(end - start)} s)`;
  }
}
