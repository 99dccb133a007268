/** The peaks of a file: its loudest sample in every 25th of a second. */

const RATE = 12000; // enough for peaks, and keeps a ten-minute song small while it is decoded
const PER_SECOND = 25; // a latent frame
const MAX_COLUMNS = 6000;
const CACHED_FILES = 24;

const cache = new Map();

/** Resolves to {duration, peaks}; duration in seconds, peaks from 0 to 1. Rejects if the browser cannot decode it. */
export function peaksOf(url) {
  if (!cache.has(url)) {
    if (cache.size >= CACHED_FILES) cache.delete(cache.keys().next().value);
    const peaks = read(url);
    peaks.catch(() => cache.delete(url));
    cache.set(url, peaks);
  }
  return cache.get(url);
}

/** The {duration, peaks} of a part of a file, from a start to an end in seconds; an end of 0 is that of the file. */
export function cut({ duration, peaks }, { start, end }) {
  const last = end && end < duration ? end : duration;
  const first = Math.min(start, last);
  const column = (time) => Math.round((time / duration) * peaks.length);
  return { duration: last - first, peaks: peaks.slice(column(first), Math.max(column(last), column(first) + 1)) };
}

async function read(url) {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${response.status} ${response.statusText}`);
  const decoder = new OfflineAudioContext(1, 1, RATE);
  const decoded = await decoder.decodeAudioData(await response.arrayBuffer());
  const channels = Array.from({ length: decoded.numberOfChannels }, (_, index) => decoded.getChannelData(index));
  return { duration: decoded.duration, peaks: outline(channels, columns(decoded.duration)) };
}

function columns(duration) {
  return Math.max(1, Math.min(MAX_COLUMNS, Math.round(duration * PER_SECOND)));
}

/** The largest absolute sample of any channel in each of `count` equal parts. */
export function outline(channels, count) {
  const samples = channels[0].length;
  const peaks = new Float32Array(count);
  for (const channel of channels) {
    for (let index = 0; index < samples; index++) {
      const column = Math.min(count - 1, Math.floor((index * count) / samples));
      peaks[column] = Math.max(peaks[column], Math.abs(channel[index]));
    }
  }
  return peaks;
}
