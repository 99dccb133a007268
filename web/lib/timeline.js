/** Arithmetic of a timeline: what it shows, where its ticks are, what a bound snaps to, how a time is written. */

import { END } from "./regions.js";

const STEPS = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120];
const UNKNOWN_LENGTH = 60;
const SHORTEST_VIEW = 2;

/** A region's end or start on a source of `length` seconds. */
export function place(bound, length) {
  return bound === END ? length : bound;
}

/** Length in seconds to draw with: the source's, or where that is unknown, enough for the regions. */
export function drawnLength(length, regions) {
  if (length !== null) return length;
  const bounds = regions.flatMap(({ start, end }) => [start, end]).filter(Number.isFinite);
  return Math.max(UNKNOWN_LENGTH, ...bounds);
}

/** All of the source and of the regions, with room on both sides to draw new music into. */
export function wholeView(length, regions) {
  const from = Math.min(0, ...regions.map(({ start }) => place(start, length)));
  const to = Math.max(length, ...regions.map(({ end }) => place(end, length)));
  const room = Math.min(Math.max((to - from) * 0.12, 2), 15);
  return { from: from - room, to: to + room };
}

/** A region with its surroundings, for fine work. */
export function closeView({ start, end }, length) {
  const [from, to] = [place(start, length), place(end, length)];
  const room = Math.max(to - from, SHORTEST_VIEW);
  return { from: from - room, to: to + room };
}

/** Times of the ticks in a view: at most `most` of them, at round distances, none where its label would be cut off. */
export function ticks({ from, to }, most) {
  const step = STEPS.find((candidate) => (to - from) / candidate <= most) ?? STEPS.at(-1);
  const edge = (to - from) * 0.035;
  const first = Math.ceil((from + edge) / step - 1e-9);
  const count = Math.max(Math.floor((to - edge) / step + 1e-9) - first + 1, 0);
  return Array.from({ length: count }, (_, index) => Math.round((first + index) * step * 10) / 10);
}

/** The target nearest to a value where one is within reach, the value itself elsewhere. */
export function snap(value, targets, reach) {
  const near = targets.filter((target) => Math.abs(target - value) <= reach);
  return near.sort((a, b) => Math.abs(a - value) - Math.abs(b - value))[0] ?? value;
}

/** A time as m:ss, with decimals where asked, and a real minus sign before 0. */
export function clock(seconds, decimals = 0) {
  const scale = 10 ** decimals;
  const whole = Math.round(Math.abs(seconds) * scale);
  const rest = ((whole % (60 * scale)) / scale).toFixed(decimals).padStart(decimals ? 3 + decimals : 2, "0");
  const sign = seconds < 0 && whole > 0 ? "−" : "";
  return `${sign}${Math.floor(whole / (60 * scale))}:${rest}`;
}
