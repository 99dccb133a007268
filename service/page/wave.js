// Waveforms: the peaks of a recording, drawn on a canvas in the page's colours.

const RATE = 22050; // Hz of the decoded audio, enough for a picture
const BINS = 1200;

// Decodes a recording: {seconds, peaks}, with peaks normalised to 0..1.
export async function peaksOf(bytes) {
  const sound = await new OfflineAudioContext(1, 1, RATE).decodeAudioData(bytes);
  const peaks = new Float32Array(Math.min(BINS, sound.length));
  const channels = Array.from({ length: sound.numberOfChannels }, (_, index) => sound.getChannelData(index));
  for (let bin = 0; bin < peaks.length; bin++) {
    const from = Math.floor((bin * sound.length) / peaks.length);
    const to = Math.max(from + 1, Math.floor(((bin + 1) * sound.length) / peaks.length));
    let peak = 0;
    for (const samples of channels) for (let index = from; index < to; index++) peak = Math.max(peak, Math.abs(samples[index]));
    peaks[bin] = peak;
  }
  const loudest = peaks.reduce((highest, peak) => Math.max(highest, peak), 0);
  if (loudest > 0) for (let bin = 0; bin < peaks.length; bin++) peaks[bin] /= loudest;
  return { seconds: sound.duration, peaks };
}

// Draws the peaks as bars. colour(position): the CSS colour at a position, 0..1 of the width.
export function draw(canvas, peaks, colour) {
  const scale = window.devicePixelRatio || 1;
  const width = Math.round(canvas.clientWidth * scale);
  const height = Math.round(canvas.clientHeight * scale);
  if (!width || !height) return;
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  const pen = canvas.getContext("2d");
  pen.clearRect(0, 0, width, height);
  const pitch = Math.max(3 * scale, 3);
  const bars = Math.floor(width / pitch);
  for (let bar = 0; bar < bars; bar++) {
    const from = Math.floor((bar * peaks.length) / bars);
    const to = Math.max(from + 1, Math.floor(((bar + 1) * peaks.length) / bars));
    let peak = 0;
    for (let index = from; index < to; index++) peak = Math.max(peak, peaks[index] ?? 0);
    const barHeight = Math.max(2 * scale, peak * height * 0.94);
    pen.fillStyle = colour((bar + 0.5) / bars);
    pen.beginPath();
    pen.roundRect(bar * pitch, (height - barHeight) / 2, pitch * 0.62, barHeight, pitch * 0.31);
    pen.fill();
  }
}

// The value of a CSS variable.
export function css(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

// Calls redraw when the size of the canvas or the colour scheme changes.
export function onRedraw(canvas, redraw) {
  new ResizeObserver(redraw).observe(canvas);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
}

// 75 -> "1:15"
export function formatTime(seconds) {
  const rounded = Math.max(0, Math.floor(seconds));
  return `${Math.floor(rounded / 60)}:${String(rounded % 60).padStart(2, "0")}`;
}
