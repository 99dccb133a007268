// A player: play button, waveform to seek on, time and download.

import { make } from "./api.js";
import { clock, css, draw, peaksOf, watch } from "./wave.js";

const PLAY = "M5 3.2v13.6a1 1 0 0 0 1.5.9l11-6.8a1 1 0 0 0 0-1.8l-11-6.8A1 1 0 0 0 5 3.2z";
const PAUSE = "M5 3h3.6v14H5zM11.4 3H15v14h-3.6z";
const STEP = 5; // seconds per arrow key
let sounding = null; // only one plays at a time

function icon(path) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 20 20");
  svg.setAttribute("aria-hidden", "true");
  svg.append(document.createElementNS("http://www.w3.org/2000/svg", "path"));
  svg.firstChild.setAttribute("d", path);
  return svg;
}

// url: where the sound is; name: of the file when it is saved; extra: elements to stand beside the time.
export function player(url, name, extra = []) {
  const audio = make("audio", { src: url, preload: "metadata" });
  const button = make("button", { type: "button", className: "play" }, icon(PLAY));
  const canvas = make("canvas", { tabIndex: 0, attributes: { role: "slider", "aria-label": "Position", "aria-valuemin": 0 } });
  const time = make("span", { className: "small" });
  const save = make("a", { href: url, download: name, textContent: "Download" });
  const element = make("div", { className: "player" }, button, canvas, make("div", { className: "foot" }, time, save, ...extra), audio);
  let peaks = new Float32Array(0);
  let seconds = 0;

  const show = () => {
    const total = audio.duration || seconds;
    time.textContent = `${clock(audio.currentTime)} / ${clock(total)}`;
    canvas.setAttribute("aria-valuemax", total.toFixed(1));
    canvas.setAttribute("aria-valuenow", audio.currentTime.toFixed(1));
    canvas.setAttribute("aria-valuetext", `${clock(audio.currentTime)} of ${clock(total)}`);
    const played = total ? audio.currentTime / total : 0;
    const [done, rest] = [css("--accent"), css("--wave")];
    draw(canvas, peaks, (share) => (share <= played ? done : rest));
  };
  const seek = (to) => {
    audio.currentTime = Math.min(Math.max(to, 0), audio.duration || seconds);
    show();
  };
  const follow = () => {
    show();
    if (!audio.paused) requestAnimationFrame(follow);
  };
  const label = () => {
    button.replaceChildren(icon(audio.paused ? PLAY : PAUSE));
    button.setAttribute("aria-label", audio.paused ? "Play" : "Pause");
  };

  button.addEventListener("click", () => (audio.paused ? audio.play() : audio.pause()));
  audio.addEventListener("play", () => {
    if (sounding && sounding !== audio) sounding.pause();
    sounding = audio;
    follow();
  });
  for (const event of ["play", "pause", "ended"]) audio.addEventListener(event, label);
  for (const event of ["loadedmetadata", "seeked", "ended"]) audio.addEventListener(event, show);
  const at = (event) => ((event.clientX - canvas.getBoundingClientRect().left) / canvas.clientWidth) * (audio.duration || seconds);
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    seek(at(event));
  });
  canvas.addEventListener("pointermove", (event) => event.buttons && seek(at(event)));
  canvas.addEventListener("keydown", (event) => {
    const keys = { ArrowLeft: audio.currentTime - STEP, ArrowRight: audio.currentTime + STEP, Home: 0, End: audio.duration };
    if (event.key === " ") button.click();
    else if (event.key in keys) seek(keys[event.key]);
    else return;
    event.preventDefault();
  });
  watch(canvas, show);
  label();
  show();
  fetch(url)
    .then((answer) => answer.arrayBuffer())
    .then(peaksOf)
    .then((found) => {
      ({ peaks, seconds } = found);
      show();
    })
    .catch(() => element.classList.add("no-picture")); // a sound the browser can play but not read still plays
  return element;
}
