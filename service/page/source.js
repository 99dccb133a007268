// The source of a cover or a repaint: a URL or an upload, with the region to repaint marked on its waveform.

import { bytesToBase64, element, post, uuid } from "./api.js";
import { css, draw, formatTime, onRedraw, peaksOf } from "./wave.js";

const START = "settings.repaintingStart";
const END = "settings.repaintingEnd";

// Adds an upload button, a drop zone and a waveform to the field of inputs.audio. controls: all fields by name.
// wording(error): an error as the page says it.
export function addUpload(controls, changed, showStatus, wording) {
  const control = controls.get("inputs.audio");
  const { root, input } = control;
  const pick = element("input", { type: "file", accept: "audio/*", hidden: true });
  const button = element("button", { type: "button", textContent: "Upload a file" });
  const canvas = element("canvas", { hidden: true });
  const length = element("span", { className: "small" });
  root.classList.add("wide", "source");
  const row = element("div", { className: "row" });
  input.replaceWith(row);
  row.append(input, button, pick);
  root.querySelector(".help").before(canvas, length);
  let sound = null;

  const show = () => {
    if (!sound) return;
    const [start, end] = [controls.get(START)?.read(), controls.get(END)?.read()];
    const marked = start !== undefined || end !== undefined;
    const [from, to] = [start ?? 0, end ?? sound.seconds].map((edge) => edge / sound.seconds);
    const [inside, outside] = [css("--accent"), css("--wave")];
    draw(canvas, sound.peaks, (position) => (marked && position >= from && position <= to ? inside : outside));
    length.textContent = `${formatTime(sound.seconds)}${marked ? "" : " · drag to mark the region to repaint; without one, the whole song becomes a cover"}`;
  };
  // The server would refuse the task, but only after the upload.
  const mayUpload = () => {
    const duration = controls.get("duration");
    if (duration?.read() === undefined) return true;
    duration.root.closest("details").open = true;
    duration.showError("A song made from a source has the length of that source: clear this field, then choose the file again.");
    showStatus("Not uploaded: Duration is set.");
    duration.input.focus();
    return false;
  };
  const upload = async (file) => {
    if (!mayUpload()) return;
    button.disabled = true;
    showStatus(`Uploading ${file.name}…`);
    const bytes = await file.arrayBuffer();
    const task = { taskType: "mediaStorage", taskUUID: uuid(), operation: "upload", media: bytesToBase64(bytes) };
    const { data, errors } = await post([task]);
    button.disabled = false;
    control.showError(errors.map(wording).join(" "));
    showStatus(errors.length ? "" : `Uploaded ${file.name}.`);
    if (errors.length) return;
    control.write(data[0].mediaUUID);
    changed("inputs.audio");
    sound = await peaksOf(bytes).catch(() => null);
    canvas.hidden = !sound;
    show();
  };

  button.addEventListener("click", () => pick.click());
  pick.addEventListener("change", () => {
    if (pick.files.length) upload(pick.files[0]);
    pick.value = "";
  });
  input.addEventListener("input", () => {
    sound = null;
    canvas.hidden = true;
    length.textContent = "";
  });
  const allowDrop = (event) => {
    event.preventDefault();
    root.classList.toggle("dropping", event.type === "dragover");
  };
  for (const event of ["dragover", "dragleave", "drop"]) root.addEventListener(event, allowDrop);
  root.addEventListener("drop", (event) => event.dataTransfer.files.length && upload(event.dataTransfer.files[0]));

  let anchor = null;
  const secondsAt = (event) => {
    const box = canvas.getBoundingClientRect();
    return Math.round(Math.min(Math.max((event.clientX - box.left) / box.width, 0), 1) * sound.seconds * 10) / 10;
  };
  const mark = (first, second) => {
    for (const [name, value] of [[START, Math.min(first, second)], [END, Math.max(first, second)]]) {
      controls.get(name).write(value);
      changed(name);
    }
    show();
  };
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    anchor = secondsAt(event);
  });
  canvas.addEventListener("pointermove", (event) => event.buttons && anchor !== null && secondsAt(event) !== anchor && mark(anchor, secondsAt(event)));
  canvas.addEventListener("pointerup", () => (anchor = null));
  for (const name of [START, END]) controls.get(name)?.input.addEventListener("input", show);
  onRedraw(canvas, show);
}
