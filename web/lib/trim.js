/** Two handles on a player's waveform that choose the part of a recording that is used. */

import { claim, element, relabel } from "./dom.js";
import { rounded } from "./regions.js";
import { clock } from "./timeline.js";
import { t } from "./words.js";

const FINE = 0.1; // seconds that an arrow key moves, ten times as many with Shift
const REACH = 6; // pixels within which a handle snaps to the start and end of the recording
const SHORTEST = 0.05; // length of a part in seconds

export class Trim {
  #part = { start: 0, end: 0, locked: true };
  #duration = 0;

  /** onChange: called with start and end in seconds, an end of 0 for that of the recording; onCommit: after a drag. */
  constructor(onChange, onCommit) {
    this.onChange = onChange;
    this.onCommit = onCommit;
    this.cuts = ["before", "after"].map((side) => element("div", { class: `acestep-cut acestep-${side}` }));
    this.handles = [this.#handle("start", t("trim_start")), this.#handle("end", t("trim_end"))];
    this.elements = [...this.cuts, ...this.handles];
  }

  /** part: {start, end, locked}; locked: whether the values come from other nodes. */
  show(part) {
    this.#part = part;
    this.render(this.#duration);
  }

  /** The part that is played, [start, end] in seconds. */
  get played() {
    const { start, end } = this.#part;
    return [start, end || Infinity];
  }

  /** Draw over a recording of that many seconds; 0 while the length is unknown. */
  render(duration) {
    this.#duration = duration;
    const [start, end] = this.#bounds();
    const hidden = !duration || this.#part.locked;
    for (const [index, time] of [start, end].entries()) {
      const percent = duration ? (time / duration) * 100 : 0;
      const [handle, cut] = [this.handles[index], this.cuts[index]];
      handle.hidden = hidden;
      handle.style.left = `${percent}%`;
      cut.hidden = !duration;
      cut.style.width = `${index ? 100 - percent : percent}%`;
      handle.setAttribute("aria-valuemin", index ? rounded(start) : 0);
      handle.setAttribute("aria-valuemax", index ? rounded(duration) : rounded(end));
      handle.setAttribute("aria-valuenow", rounded(time));
      handle.setAttribute("aria-valuetext", clock(time, 2));
    }
  }

  #handle(side, label) {
    const handle = element("div", { class: `acestep-trim acestep-trim-${side}`, role: "slider", tabindex: "0" });
    relabel(handle, label);
    handle.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      event.stopPropagation(); // the waveform below would seek
      handle.setPointerCapture(event.pointerId);
    });
    handle.addEventListener("pointermove", (event) => {
      if (!handle.hasPointerCapture(event.pointerId)) return;
      event.stopPropagation();
      this.#move(side, this.#timeAt(handle, event));
    });
    handle.addEventListener("lostpointercapture", () => this.onCommit());
    handle.addEventListener("keydown", (event) => this.#key(side, event));
    return handle;
  }

  /** Start and end on the recording. */
  #bounds() {
    const { start, end } = this.#part;
    const last = end && end < this.#duration ? end : this.#duration;
    return [Math.min(start, last), last];
  }

  #timeAt(handle, event) {
    const box = handle.parentElement.getBoundingClientRect();
    const x = event.clientX - box.left;
    if (x < REACH) return 0;
    return x > box.width - REACH ? this.#duration : (x / box.width) * this.#duration;
  }

  #move(side, time) {
    const [start, end] = this.#bounds();
    const from = side === "start" ? Math.max(Math.min(time, end - SHORTEST), 0) : start;
    const to = side === "end" ? Math.min(Math.max(time, start + SHORTEST), this.#duration) : end;
    this.onChange(rounded(from), to >= this.#duration ? 0 : rounded(to));
  }

  #key(side, event) {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const time = this.#bounds()[side === "start" ? 0 : 1];
    const step = event.shiftKey ? 10 * FINE : FINE;
    const targets = {
      ArrowLeft: time - step,
      ArrowDown: time - step,
      ArrowRight: time + step,
      ArrowUp: time + step,
      Home: 0,
      End: this.#duration,
    };
    if (!(event.key in targets)) return;
    this.#move(side, targets[event.key]);
    this.onCommit();
    claim(event);
  }
}
