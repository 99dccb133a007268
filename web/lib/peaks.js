/** The outline of a file: its loudest sample in every 25th of a second. */

const RATE = 12000; // enough for an outline, and a ten-minute song stays small while it is decoded
const PER_SECOND = 25; // a latent frame
const MOST = 6000;
const KEPT = 24;

const known = new Map();

/** Promise of {duration, peaks}; duration in seconds, peaks from 0 to 1. Rejected where the browser can't decode it. */
export function peaksOf(url) {
  if (!known.has(url)) {
    if (known.size >= KEPT) known.delete(known.keys().next().value);
    const found = read(url);
    found.catch(() => known.delete(url));
    known.set(url, found);
  }
  return known.get(url);
}

async function read(url) {
  const answer = await fetch(url);
  if (!answer.ok) throw new Error(`${answer.status} ${answer.statusText}`);
  const decoder = new OfflineAudioContext(1, 1, RATE);
  const decoded = await decoder.decodeAudioData(await answer.arrayBuffer());
  const channels = Array.from({ length: decoded.numberOfChannels }, (_, index) => decoded.getChannelData(index));
  return { duration: decoded.duration, peaks: outline(channels, columns(decoded.duration)) };
}

function columns(duration) {
  return Math.max(1, Math.min(MOST, Math.round(duration * PER_SECOND)));
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
