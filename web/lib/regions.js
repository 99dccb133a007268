/**
 * Parses and formats the text of the regions input: "12.5-18, 1:05-1:20, -8-0, 40-end".
 *
 * The grammar is that of audio/region_text.py; a test compares the two. Times are seconds of the source; END is the end
 * of the source, whose length the text does not know.
 */

export const END = Infinity;

const WORDS = { start: 0, end: END };
const DASHES = /[‐‑‒–—―−﹘﹣－]/g;
const SEPARATOR = /\s*[,;]\s*|\s*[\r\n]\s*/;
const REGION = /^([-+]?[^-]+)-(.*)$/s;
const TIME = /^([-+]?)\s*(?:(\d+)\s*:\s*(?=[0-5]\d(?!\d)))?(\d+\.?\d*|\.\d+)$/;

/**
 * Parse a text into regions, in the order written, each {start, end, text}, and the pieces that are invalid.
 *
 * An empty text has no regions, which only a run refuses. A region keeps the text it was written with, so that
 * changing one region leaves the others as written.
 */
export function parse(text) {
  const regions = [];
  const invalid = [];
  if (!text.trim()) return { regions, invalid };
  for (const piece of text.trim().split(SEPARATOR)) {
    const parsed = readRegion(piece);
    if (parsed) regions.push(parsed);
    else invalid.push(piece);
  }
  return { regions, invalid };
}

/** The text of a list of regions. */
export function format(regions) {
  return regions.map(({ text }) => text).join(", ");
}

/** A region from its bounds in seconds, rounded to hundredths. */
export function region(start, end) {
  const [from, to] = [writeTime(start), writeTime(end)];
  return { start, end, text: to.startsWith("-") ? `${from} - ${to}` : `${from}-${to}` };
}

/** Seconds rounded to hundredths, the resolution of drawn regions. */
export function rounded(seconds) {
  return Math.round(seconds * 100) / 100;
}

function readRegion(piece) {
  const match = REGION.exec(piece.replace(DASHES, "-"));
  if (!match) return null;
  const [start, end] = [readTime(match[1].trim()), readTime(match[2].trim())];
  if (start === null || end === null) return null;
  if (start !== END && !(end > start)) return null;
  return { start, end, text: piece };
}

function readTime(text) {
  const word = text.toLowerCase();
  if (Object.hasOwn(WORDS, word)) return WORDS[word];
  const match = TIME.exec(text);
  if (!match) return null;
  const value = Number(match[2] ?? 0) * 60 + Number(match[3]);
  if (!Number.isFinite(value)) return null;
  return match[1] === "-" ? -value : value;
}

function writeTime(seconds) {
  return seconds === END ? "end" : String(rounded(seconds) || 0);
}
