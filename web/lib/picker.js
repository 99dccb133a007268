/** The region picker: what of a source is made anew, drawn on its waveform, and heard. */

import { button, element, icon, relabel, shield } from "./dom.js";
import { peaksOf } from "./peaks.js";
import { END, format, parse, region, rounded } from "./regions.js";
import { Sound } from "./sound.js";
import { clock, closeView, drawnLength, place, wholeView } from "./timeline.js";
import { Track } from "./track.js";
import { t } from "./words.js";

export class RegionPicker {
  #sound = new Sound(() => this.#heard());
  #given = {};
  #regions = [];
  #faults = [];
  #selected = -1;
  #length = null;
  #cursor = 0;
  #view = null;
  #close = false;

  /** changed: called with the new text whenever regions change; settled: when the change is complete. */
  constructor(changed, settled) {
    this.changed = changed;
    this.settled = settled;
    this.track = new Track({
      add: (made) => this.#edit([...this.#regions, made], this.#regions.length),
      replace: (index, made) => this.#edit(this.#regions.with(index, made), index),
      remove: (index) => this.#remove(index),
      choose: (index) => this.#choose(index),
      seek: (time) => this.#seek(time),
      play: (index) => (index < 0 ? this.#playSource() : this.#playRegion(index)),
      insert: () => this.#insert(),
      settle: () => {
        this.#render();
        settled();
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
    this.show({ text: "", url: null, locked: null });
  }

  /** text: of the regions input. url: of the source, or null. locked: words that say why nothing can be drawn. */
  show(given) {
    const before = this.#given;
    this.#given = given;
    if (given.text !== before.text) this.#read(given.text);
    if (given.url !== before.url) this.#open(given.url);
    this.#render();
  }

  stop() {
    this.#sound.stop();
  }

  #read(text) {
    const { regions, faults } = parse(text);
    this.#regions = regions;
    this.#faults = faults;
    this.#selected = Math.min(this.#selected, regions.length - 1);
  }

  async #open(url) {
    this.#sound.load(url);
    this.#length = null;
    this.#cursor = 0;
    this.track.outline(null);
    if (!url) return;
    try {
      const found = await peaksOf(url);
      if (url !== this.#given.url) return;
      this.#length = found.duration;
      this.track.outline(found.peaks);
      this.#render();
    } catch {
      // What the browser can't decode has a plain timeline; the status line says so.
    }
  }

  get #locked() {
    return Boolean(this.#given.locked || this.#faults.length);
  }

  get #drawn() {
    return drawnLength(this.#length, this.#regions);
  }

  #edit(regions, selected) {
    if (this.#locked) return;
    this.#regions = regions;
    this.#selected = selected;
    this.#given = { ...this.#given, text: format(regions) };
    this.changed(this.#given.text);
    this.#render();
    if (!this.track.dragging) this.settled();
  }

  #remove(index) {
    if (index < 0) return;
    this.#edit(this.#regions.toSpliced(index, 1), Math.min(index, this.#regions.length - 2));
    this.track.focus(this.#selected);
  }

  /** A region at the cursor: a tenth of the source, to the source's end where it would reach beyond. */
  #insert() {
    const length = this.#drawn;
    const start = rounded(this.#cursor);
    const end = rounded(start + Math.max(length / 10, 1));
    const over = this.#length !== null && start < length && end > length;
    this.#edit([...this.#regions, region(start, over ? END : end)], this.#regions.length);
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
    const chosen = this.#regions[Math.max(index, 0)];
    if (this.#sound.playing || !chosen) this.#sound.pause();
    else this.#sound.play(Math.max(place(chosen.start, this.#drawn), 0), place(chosen.end, this.#drawn));
  }

  #zoom() {
    this.#close = !this.#close && this.#regions.length > 0;
    this.#render();
  }

  #heard() {
    if (this.#sound.playing) this.#cursor = this.#sound.time;
    this.#render();
  }

  #render() {
    const length = this.#drawn;
    const near = this.#regions[Math.max(this.#selected, 0)];
    // While a region is dragged the timeline stands still under it.
    if (!this.track.dragging || !this.#view) {
      this.#view = this.#close && near ? closeView(near, length) : wholeView(length, this.#regions);
    }
    const seen = { regions: this.#regions, selected: this.#selected, cursor: this.#cursor, locked: this.#locked };
    this.track.render({ ...seen, view: this.#view, length, known: this.#length !== null });
    this.#tools();
    this.status.textContent = this.#words();
    this.status.classList.toggle("acestep-fault", this.#faults.length > 0);
  }

  #tools() {
    const { playing, failed } = this.#sound;
    const silent = !this.#given.url || failed;
    this.playSource.replaceChildren(icon(playing ? "pause" : "play"));
    relabel(this.playSource, t(playing ? "pause" : "play_source"));
    this.playSource.disabled = silent;
    this.playRegion.disabled = silent || !this.#regions.length;
    this.add.disabled = this.#locked;
    this.remove.disabled = this.#locked || this.#selected < 0;
    this.closer.disabled = !this.#regions.length;
    this.closer.setAttribute("aria-pressed", this.#close);
  }

  #words() {
    if (this.#given.locked) return this.#given.locked;
    if (this.#faults.length) return t("unreadable", { text: this.#faults[0] });
    if (!this.#regions.length) return t("draw");
    if (!this.#given.url) return t("plain");
    if (this.#sound.failed) return t("unplayable");
    const chosen = this.#regions[this.#selected];
    if (!chosen) return this.#length === null ? "" : clock(this.#length, 1);
    const [start, end] = [place(chosen.start, this.#drawn), place(chosen.end, this.#drawn)];
    return `${clock(start, 2)} – ${clock(end, 2)} (${rounded(end - start)} s)`;
  }
}
