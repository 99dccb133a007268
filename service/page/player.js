// An audio player: play button, seekable waveform, time and download link.

import { element } from "./api.js";
import { css, draw, formatTime, onRedraw, peaksOf } from "./wave.js";

const PLAY = "M5 3.2v13.6a1 1 0 0 0 1.5.9l11-6.8a1 1 0 0 0 0-1.8l-11-6.8A1 1 0 0 0 5 3.2z";
const PAUSE = "M5 3h3.6v14H5zM11.4 3H15v14h-3.6z";
const STEP = 5; // seconds per arrow key
let playing = null; // only one player plays at a time

function icon(path) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 20 20");
  svg.setAttribute("aria-hidden", "true");
  svg.append(document.createElementNS("http://www.w3.org/2000/svg", "path"));
  svg.firstChild.setAttribute("d", path);
  return svg;
}

// url: of the audio; name: of the downloaded file; extra: elements beside the time.
export function player(url, name, extra = []) {
  const audio = element("audio", { src: url, preload: "metadata" });
  const button = element("button", { type: "button", className: "play" }, icon(PLAY));
  const canvas = element("canvas", { tabIndex: 0, attributes: { role: "slider", "aria-label": "Position", "aria-valuemin": 0 } });
  const time = element("span", { className: "small" });
  const save = element("a", { href: url, download: name, textContent: "Download" });
  const root = element("div", { className: "player" }, button, canvas, element("div", { className: "foot" }, time, save, ...extra), audio);
  let peaks = new Float32Array(0);
  let seconds = 0;

  const show = () => {
    const total = audio.duration || seconds;
    time.textContent = `${formatTime(audio.currentTime)} / ${formatTime(total)}`;
    canvas.setAttribute("aria-valuemax", total.toFixed(1));
    canvas.setAttribute("aria-valuenow", audio.currentTime.toFixed(1));
    canvas.setAttribute("aria-valuetext", `${formatTime(audio.currentTime)} of ${formatTime(total)}`);
    const played = total ? audio.currentTime / total : 0;
    const [done, rest] = [css("--accent"), css("--wave")];
    draw(canvas, peaks, (position) => (position <= played ? done : rest));
  };
  const seek = (position) => {
    audio.currentTime = Math.min(Math.max(position, 0), audio.duration || seconds);
    show();
  };
  const animate = () => {
    show();
    if (!audio.paused) requestAnimationFrame(animate);
  };
  const updateButton = () => {
    button.replaceChildren(icon(audio.paused ? PLAY : PAUSE));
    button.setAttribute("aria-label", audio.paused ? "Play" : "Pause");
  };

  button.addEventListener("click", () => (audio.paused ? audio.play() : audio.pause()));
  audio.addEventListener("play", () => {
    if (playing && playing !== audio) playing.pause();
    playing = audio;
    animate();
  });
  for (const event of ["play", "pause", "ended"]) audio.addEventListener(event, updateButton);
  for (const event of ["loadedmetadata", "seeked", "ended"]) audio.addEventListener(event, show);
  const secondsAt = (event) => ((event.clientX - canvas.getBoundingClientRect().left) / canvas.clientWidth) * (audio.duration || seconds);
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    seek(secondsAt(event));
  });
  canvas.addEventListener("pointermove", (event) => event.buttons && seek(secondsAt(event)));
  canvas.addEventListener("keydown", (event) => {
    const keys = { ArrowLeft: audio.currentTime - STEP, ArrowRight: audio.currentTime + STEP, Home: 0, End: audio.duration };
    if (event.key === " ") button.click();
    else if (event.key in keys) seek(keys[event.key]);
    else return;
    event.preventDefault();
  });
  onRedraw(canvas, show);
  updateButton();
  show();
  fetch(url)
    .then((response) => response.arrayBuffer())
    .then(peaksOf)
    .then((decoded) => {
      ({ peaks, seconds } = decoded);
      show();
    })
    .catch(() => root.classList.add("no-picture")); // a format that the browser cannot decode here may still play
  return root;
}
