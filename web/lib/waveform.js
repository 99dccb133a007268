/** An outline as a drawing that stretches to whatever holds it and takes its colour from the style sheet. */

const SVG = "http://www.w3.org/2000/svg";
const HEIGHT = 100;
const FAINTEST = 0.008; // silence is a thin line, not nothing

/** An SVG element without an outline yet. */
export function emptyWaveform() {
  const drawing = document.createElementNS(SVG, "svg");
  drawing.setAttribute("preserveAspectRatio", "none");
  drawing.setAttribute("viewBox", `0 0 1 ${HEIGHT}`);
  drawing.setAttribute("class", "acestep-wave");
  drawing.setAttribute("aria-hidden", "true");
  drawing.append(document.createElementNS(SVG, "path"));
  return drawing;
}

/** Put an outline into the drawing; null clears it. */
export function draw(drawing, peaks) {
  drawing.setAttribute("viewBox", `0 0 ${peaks ? peaks.length : 1} ${HEIGHT}`);
  drawing.firstChild.setAttribute("d", peaks ? outlinePath(peaks) : "");
}

/** Along the tops and back along the bottoms; quiet songs are drawn as high as loud ones. */
export function outlinePath(peaks) {
  const loudest = Math.max(
    0.05,
    peaks.reduce((most, peak) => Math.max(most, peak), 0),
  );
  const heights = Array.from(peaks, (peak) => Math.max(peak / loudest, FAINTEST) * (HEIGHT / 2 - 1));
  const middle = HEIGHT / 2;
  const tops = heights.map((height, index) => `${index} ${(middle - height).toFixed(1)}H${index + 1}`);
  const bottoms = heights.map((height, index) => `${index + 1} ${(middle + height).toFixed(1)}H${index}`);
  return `M${tops.join("L")}L${bottoms.reverse().join("L")}Z`;
}
