/** A waveform as an SVG that fills its container and takes its colour from the style sheet. */

const SVG = "http://www.w3.org/2000/svg";
const HEIGHT = 100;
const MINIMUM = 0.008; // silence is a thin line

/** An empty waveform. */
export function emptyWaveform() {
  const drawing = document.createElementNS(SVG, "svg");
  drawing.setAttribute("preserveAspectRatio", "none");
  drawing.setAttribute("viewBox", `0 0 1 ${HEIGHT}`);
  drawing.setAttribute("class", "acestep-wave");
  drawing.setAttribute("aria-hidden", "true");
  drawing.append(document.createElementNS(SVG, "path"));
  return drawing;
}

/** Draw peaks; null clears the waveform. */
export function draw(drawing, peaks) {
  drawing.setAttribute("viewBox", `0 0 ${peaks ? peaks.length : 1} ${HEIGHT}`);
  drawing.firstChild.setAttribute("d", peaks ? outlinePath(peaks) : "");
}

/** Along the tops and back along the bottoms, scaled so that quiet songs are as tall as loud ones. */
export function outlinePath(peaks) {
  const loudest = Math.max(
    0.05,
    peaks.reduce((maximum, peak) => Math.max(maximum, peak), 0),
  );
  const heights = Array.from(peaks, (peak) => Math.max(peak / loudest, MINIMUM) * (HEIGHT / 2 - 1));
  const middle = HEIGHT / 2;
  const tops = heights.map((height, index) => `${index} ${(middle - height).toFixed(1)}H${index + 1}`);
  const bottoms = heights.map((height, index) => `${index + 1} ${(middle + height).toFixed(1)}H${index}`);
  return `M${tops.join("L")}L${bottoms.reverse().join("L")}Z`;
}
