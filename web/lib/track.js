/**
 * The timeline of the region picker: the source's waveform, the regions over it, and the gestures that change them.
 *
 * It draws the state it is passed and reports gestures to `act`; its own state is only the drag in progress.
 */

import { claim, element } from "./dom.js";
import { END, region, rounded } from "./regions.js";
import { clock, snap, ticks, timeOf } from "./timeline.js";
import { draw, emptyWaveform } from "./waveform.js";
import { t } from "./words.js";

const FINE = 0.1; // seconds that an arrow key moves, ten times as many with Shift
const REACH = 6; // pixels within which a bound snaps to the source's start and end
const SLACK = 3; // pixels that a click may move before it is a drag
const SHORTEST = 0.05; // length of a region in seconds

export class Track {
  #drag = null;
  #state = null;

  /**
   * act: {add(region), replace(index, region), remove(index), choose(index), insert(), seek(time), play(index),
   * settle()}; settle ends a drag. An index of -1 stands for the source.
   */
  constructor(act) {
    this.act = act;
    this.wave = emptyWaveform();
    this.source = element("div", { class: "acestep-source" }, this.wave);
    this.regions = element("div", { class: "acestep-regions" });
    this.head = element("div", { class: "acestep-head" });
    this.ruler = element("div", { class: "acestep-ruler", "aria-hidden": "true" });
    const label = { "aria-label": t("timeline"), title: t("timeline_help") };
    this.surface = element("div", { class: "acestep-track acestep-timeline", role: "group", tabindex: "0", ...label });
    this.surface.append(this.source, this.regions, this.head);
    this.element = element("div", { class: "acestep-stage" }, this.surface, this.ruler);
    this.surface.addEventListener("pointerdown", (event) => this.#press(event));
    this.surface.addEventListener("pointermove", (event) => this.#move(event));
    this.surface.addEventListener("pointerup", (event) => this.#release(event));
    this.surface.addEventListener("pointercancel", () => this.#cancel());
    this.surface.addEventListener("keydown", (event) => this.#key(event));
  }

  get dragging() {
    return this.#drag?.moved ?? false;
  }

  outline(peaks) {
    draw(this.wave, peaks);
  }

  /** state: {regions, selected, view, length, lengthKnown, cursor, locked}; length and cursor in seconds. */
  render(state) {
    this.#state = state;
    const { view, length, lengthKnown, cursor, locked } = state;
    this.#span(this.source, 0, length);
    this.source.classList.toggle("acestep-unknown", !lengthKnown);
    this.surface.classList.toggle("acestep-locked", locked);
    this.head.style.left = this.#percent(cursor);
    while (this.regions.children.length < state.regions.length) this.regions.append(this.#box());
    while (this.regions.children.length > state.regions.length) this.regions.lastChild.remove();
    for (const [index, box] of [...this.regions.children].entries()) this.#update(box, index);
    const marks = ticks(view, 9).map((time) => {
      return element("span", { style: `left:${this.#percent(time)}` }, clock(time, Number.isInteger(time) ? 0 : 1));
    });
    this.ruler.replaceChildren(...marks);
  }

  focus(index) {
    (this.regions.children[index] ?? this.surface).focus();
  }

  #percent(time) {
    const { from, to } = this.#state.view;
    return `${(((time - from) / (to - from)) * 100).toFixed(3)}%`;
  }

  #span(box, start, end) {
    const { from, to } = this.#state.view;
    box.style.left = this.#percent(start);
    box.style.width = `${(((end - start) / (to - from)) * 100).toFixed(3)}%`;
  }

  #box() {
    const handles = ["start", "end"].map((side) =>
      element("div", { class: `acestep-handle acestep-${side}`, role: "slider", tabindex: "0", "data-side": side }),
    );
    return element("div", { class: "acestep-region", role: "group", tabindex: "0" }, ...handles);
  }

  #update(box, index) {
    const { regions, selected, view } = this.#state;
    const [start, end] = this.#bounds(regions[index]);
    this.#span(box, start, end);
    box.dataset.index = index;
    box.classList.toggle("acestep-selected", index === selected);
    const values = { number: index + 1, start: clock(start, 2), end: clock(end, 2) };
    box.setAttribute("aria-label", t("region", values));
    for (const [handle, time] of [
      [box.firstChild, start],
      [box.lastChild, end],
    ]) {
      handle.setAttribute("aria-label", t(`region_${handle.dataset.side}`, values));
      handle.setAttribute("aria-valuemin", rounded(Math.min(view.from, time)));
      handle.setAttribute("aria-valuemax", rounded(Math.max(view.to, time)));
      handle.setAttribute("aria-valuenow", rounded(time));
      handle.setAttribute("aria-valuetext", clock(time, 2));
    }
  }

  /** Drawn bounds of a region; one at the end of a source of unknown length stays visible. */
  #bounds({ start, end }) {
    const [from, to] = this.#touching(timeOf(start, this.#state.length), timeOf(end, this.#state.length));
    return [from, Math.max(to, from + SHORTEST)];
  }

  /** A region from times on the timeline; the end of the source becomes END. */
  #region(start, end) {
    const { lengthKnown, length } = this.#state;
    const bound = (time) => (lengthKnown && time === length ? END : rounded(time));
    const [from, to] = this.#touching(start, end);
    return region(bound(from), bound(to));
  }

  /** Extend a region outside the source to touch it, since there can be no gap between them. */
  #touching(start, end) {
    const { lengthKnown, length } = this.#state;
    return [lengthKnown ? Math.min(start, length) : start, Math.max(end, 0)];
  }

  #time(event) {
    const box = this.surface.getBoundingClientRect();
    const { from, to } = this.#state.view;
    return Math.min(Math.max(from + ((event.clientX - box.left) / box.width) * (to - from), from), to);
  }

  #snapped(time) {
    const { view, lengthKnown, length } = this.#state;
    const reach = (REACH / this.surface.getBoundingClientRect().width) * (view.to - view.from);
    return snap(time, lengthKnown ? [0, length] : [0], reach);
  }

  #press(event) {
    if (event.button !== 0) return;
    const box = event.target.closest(".acestep-region");
    const index = box ? Number(box.dataset.index) : -1;
    const origin = this.#time(event);
    this.#drag = { mode: event.target.dataset.side ?? (box ? "move" : "new"), index, origin, x: event.clientX };
    if (box) {
      this.#drag.before = this.#state.regions[index];
      this.act.choose(index);
    }
    this.surface.setPointerCapture(event.pointerId);
  }

  #move(event) {
    const drag = this.#drag;
    if (!drag || this.#state.locked) return;
    if (!drag.moved && Math.abs(event.clientX - drag.x) < SLACK) return;
    const first = !drag.moved;
    drag.moved = true;
    const dragged = this.#dragged(drag, this.#time(event));
    if (drag.mode === "new" && first) {
      drag.index = this.#state.regions.length;
      this.act.add(dragged);
    } else {
      this.act.replace(drag.index, dragged);
    }
  }

  #dragged({ mode, origin, before }, time) {
    if (mode === "new") {
      const [start, end] = [this.#snapped(origin), this.#snapped(time)].sort((a, b) => a - b);
      return this.#region(start, Math.max(end, start + SHORTEST));
    }
    const [start, end] = this.#bounds(before);
    if (mode === "start") return this.#region(Math.min(this.#snapped(time), end - SHORTEST), end);
    if (mode === "end") return this.#region(start, Math.max(this.#snapped(time), start + SHORTEST));
    return this.#moved(start, end, time - origin);
  }

  /** Move a region; its start snaps, or else its end. */
  #moved(start, end, shift) {
    const [from, to] = [start + shift, end + shift];
    const [snappedFrom, snappedTo] = [this.#snapped(from), this.#snapped(to)];
    if (snappedFrom !== from) return this.#region(snappedFrom, snappedFrom + end - start);
    return this.#region(snappedTo - (end - start), snappedTo);
  }

  #release(event) {
    const drag = this.#drag;
    this.#drag = null;
    if (!drag) return;
    if (!drag.moved && drag.mode === "new") this.act.seek(this.#time(event));
    this.act.settle();
    this.focus(drag.index);
  }

  #cancel() {
    const drag = this.#drag;
    this.#drag = null;
    if (!drag?.moved) return;
    if (drag.before) this.act.replace(drag.index, drag.before);
    else this.act.remove(drag.index);
    this.act.settle();
  }

  #key(event) {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    if (event.key === "Escape" && this.#drag) this.#cancel();
    else if (!this.#handleKey(event)) return;
    claim(event);
  }

  /** Handle a key for the focused region, handle or timeline; returns whether it was one of ours. */
  #handleKey(event) {
    const box = event.target.closest(".acestep-region");
    const index = box ? Number(box.dataset.index) : -1;
    const step = { ArrowLeft: -FINE, ArrowRight: FINE }[event.key];
    if (step) this.#nudge(index, event.target.dataset.side, step * (event.shiftKey ? 10 : 1));
    else if (event.key === " " || event.key === "Enter") this.act.play(index);
    else if (event.key === "+" || event.key === "Insert") this.act.insert();
    else if (box && (event.key === "Delete" || event.key === "Backspace")) this.act.remove(index);
    else return false;
    return true;
  }

  #nudge(index, side, step) {
    if (index < 0) return this.act.seek(this.#state.cursor + step);
    if (this.#state.locked) return undefined;
    const [start, end] = this.#bounds(this.#state.regions[index]).map((time) => rounded(time));
    const from = side === "end" ? start : Math.min(start + step, side ? end - SHORTEST : Infinity);
    const to = side === "start" ? end : Math.max(end + step, side ? start + SHORTEST : -Infinity);
    this.act.choose(index);
    return this.act.replace(index, this.#region(from, to));
  }
}
