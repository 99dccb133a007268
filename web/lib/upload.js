/** Bringing a file of the user into ComfyUI's input folder. */

import { api } from "../../../scripts/api.js";
import { button, element } from "./dom.js";
import { t } from "./words.js";

const KINDS = "audio/*,video/*";
const SUITS = /^(audio|video)\//;

/** A button that opens the file dialog; chosen is called with the file. */
export function uploadButton(chosen) {
  const dialog = element("input", { type: "file", accept: KINDS });
  dialog.addEventListener("change", () => {
    const [file] = dialog.files;
    dialog.value = "";
    if (file) chosen(file);
  });
  return button("upload", t("upload"), () => dialog.click());
}

/** The first file of a drop that can hold sound. */
export function droppedFile(event) {
  return [...(event.dataTransfer?.files ?? [])].find((file) => SUITS.test(file.type)) ?? null;
}

/** Whether a drag that is still in the air may bring a file; its kind is known only when it is dropped. */
export function bringsFile(event) {
  return [...(event.dataTransfer?.items ?? [])].some((item) => item.kind === "file");
}

/** Send a file; resolves to its name in the input folder, which ComfyUI changes where another file has it. */
export async function upload(file) {
  const body = new FormData();
  body.append("image", file); // ComfyUI takes every kind of file under this name
  const answer = await api.fetchApi("/upload/image", { method: "POST", body });
  if (answer.status !== 200) throw new Error(`${answer.status} ${answer.statusText}`);
  const { name, subfolder } = await answer.json();
  return subfolder ? `${subfolder}/${name}` : name;
}
