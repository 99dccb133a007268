/** Timeline arithmetic: visible range, ticks, snapping, and formatting of times. */

import { END } from "./regions.js";

const STEPS = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120];
const UNKNOWN_LENGTH = 60;
const SHORTEST_VIEW = 2;

/** The time of a region's start or end on a source of `length` seconds. */
export function timeOf(bound, length) {
  return bound === END ? length : bound;
}

/** The length to draw, in seconds: the source's, or if unknown, enough for the regions. */
export function drawnLength(length, regions) {
  if (length !== null) return length;
  const bounds = regions.flatMap(({ start, end }) => [start, end]).filter(Number.isFinite);
  return Math.max(UNKNOWN_LENGTH, ...bounds);
}

/** The source and all regions, with margins to draw new music into. */
export function wholeView(length, regions) {
  const from = Math.min(0, ...regions.map(({ start }) => timeOf(start, length)));
  const to = Math.max(length, ...regions.map(({ end }) => timeOf(end, length)));
  const margin = Math.min(Math.max((to - from) * 0.12, 2), 15);
  return { from: from - margin, to: to + margin };
}

/** A region and its surroundings, for fine adjustment. */
export function closeView({ start, end }, length) {
  const [from, to] = [timeOf(start, length), timeOf(end, length)];
  const margin = Math.max(to - from, SHORTEST_VIEW);
  return { from: from - margin, to: to + margin };
}

/** Times of at most `limit` evenly spaced ticks in a view, none where its label would be cut off. */
export function ticks({ from, to }, limit) {
  const step = STEPS.find((candidate) => (to - from) / candidate <= limit) ?? STEPS.at(-1);
  const edge = (to - from) * 0.035;
  const first = Math.ceil((from + edge) / step - 1e-9);
  const count = Math.max(Math.floor((to - edge) / step + 1e-9) - first + 1, 0);
  return Array.from({ length: count }, (_, index) => Math.round((first + index) * step * 10) / 10);
}

/** The nearest target within reach of a value, or the value itself. */
export function snap(value, targets, reach) {
  const near = targets.filter((target) => Math.abs(target - value) <= reach);
  return near.sort((a, b) => Math.abs(a - value) - Math.abs(b - value))[0] ?? value;
}

/** A time as m:ss, with that many decimals and a real minus sign. */
export function clock(seconds, decimals = 0) {
  const scale = 10 ** decimals;
  const units = Math.round(Math.abs(seconds) * scale);
  const rest = ((units % (60 * scale)) / scale).toFixed(decimals).padStart(decimals ? 3 + decimals : 2, "0");
  const sign = seconds < 0 && units > 0 ? "−" : "";
  return `${sign}${Math.floor(units / (60 * scale))}:${rest}`;
}
