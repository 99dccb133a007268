// The source of a cover or a repaint: an address, an upload, and the part to make new marked on its waveform.

import { bytesToBase64, make, post, uuid } from "./api.js";
import { clock, css, draw, peaksOf, watch } from "./wave.js";

const START = "settings.repaintingStart";
const END = "settings.repaintingEnd";

// Adds a button, a drop zone and a waveform to the field of inputs.audio. controls: all fields by name.
export function equip(controls, changed, say) {
  const control = controls.get("inputs.audio");
  const { element, input } = control;
  const pick = make("input", { type: "file", accept: "audio/*", hidden: true });
  const button = make("button", { type: "button", textContent: "Upload a file" });
  const canvas = make("canvas", { hidden: true });
  const length = make("span", { className: "small" });
  element.classList.add("wide", "source");
  const row = make("div", { className: "row" });
  input.replaceWith(row);
  row.append(input, button, pick);
  element.querySelector(".help").before(canvas, length);
  let sound = null;

  const show = () => {
    if (!sound) return;
    const [start, end] = [controls.get(START)?.read(), controls.get(END)?.read()];
    const marked = start !== undefined || end !== undefined;
    const [from, to] = [start ?? 0, end ?? sound.seconds].map((edge) => edge / sound.seconds);
    const [inside, outside] = [css("--accent"), css("--wave")];
    draw(canvas, sound.peaks, (share) => (marked && share >= from && share <= to ? inside : outside));
    length.textContent = `${clock(sound.seconds)}${marked ? "" : " · drag to mark the part to make new; unmarked, the whole becomes a cover"}`;
  };
  const upload = async (file) => {
    button.disabled = true;
    say(`Uploading ${file.name}…`);
    const bytes = await file.arrayBuffer();
    const task = { taskType: "mediaStorage", taskUUID: uuid(), operation: "upload", media: bytesToBase64(bytes) };
    const { data, errors } = await post([task]);
    button.disabled = false;
    control.blame(errors.map((error) => error.message).join(" "));
    say(errors.length ? "" : `${file.name} is uploaded.`);
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
  const allow = (event) => {
    event.preventDefault();
    element.classList.toggle("dropping", event.type === "dragover");
  };
  for (const event of ["dragover", "dragleave", "drop"]) element.addEventListener(event, allow);
  element.addEventListener("drop", (event) => event.dataTransfer.files.length && upload(event.dataTransfer.files[0]));

  let anchor = null;
  const at = (event) => {
    const box = canvas.getBoundingClientRect();
    return Math.round(Math.min(Math.max((event.clientX - box.left) / box.width, 0), 1) * sound.seconds * 10) / 10;
  };
  const mark = (first, last) => {
    for (const [name, value] of [[START, Math.min(first, last)], [END, Math.max(first, last)]]) {
      controls.get(name).write(value);
      changed(name);
    }
    show();
  };
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    anchor = at(event);
  });
  canvas.addEventListener("pointermove", (event) => event.buttons && anchor !== null && at(event) !== anchor && mark(anchor, at(event)));
  canvas.addEventListener("pointerup", () => (anchor = null));
  for (const name of [START, END]) controls.get(name)?.input.addEventListener("input", show);
  watch(canvas, show);
}
