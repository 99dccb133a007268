/** Uploads a file into ComfyUI's input folder. */

import { api } from "../../../scripts/api.js";
import { button, element } from "./dom.js";
import { t } from "./words.js";

const ACCEPTED_TYPES = "audio/*,video/*";
const MEDIA_TYPE = /^(audio|video)\//;

/** A button that opens the file dialog; onFile is called with the file. */
export function uploadButton(onFile) {
  const dialog = element("input", { type: "file", accept: ACCEPTED_TYPES });
  dialog.addEventListener("change", () => {
    const [file] = dialog.files;
    dialog.value = "";
    if (file) onFile(file);
  });
  return button("upload", t("upload"), () => dialog.click());
}

/** The first audio or video file of a drop, or null. */
export function droppedFile(event) {
  return [...(event.dataTransfer?.files ?? [])].find((file) => MEDIA_TYPE.test(file.type)) ?? null;
}

/** Whether a drag in progress may contain a file; its type is unknown until it is dropped. */
export function bringsFile(event) {
  return [...(event.dataTransfer?.items ?? [])].some((item) => item.kind === "file");
}

/** Upload a file; resolves to its name in the input folder, which ComfyUI may have changed to keep it unique. */
export async function upload(file) {
  const body = new FormData();
  body.append("image", file); // ComfyUI expects any type of file under this name
  const response = await api.fetchApi("/upload/image", { method: "POST", body });
  if (response.status !== 200) throw new Error(`${response.status} ${response.statusText}`);
  const { name, subfolder } = await response.json();
  return subfolder ? `${subfolder}/${name}` : name;
}
