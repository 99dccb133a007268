/** The player on the node that loads recordings, with handles to use a part of one. */

import { app } from "../../../scripts/app.js";
import { isConnected, loadedUrl, partOf } from "./graph.js";
import { addElement, after, commit, watch, widgetOf, write } from "./node.js";
import { Player } from "./player.js";
import { Trim } from "./trim.js";
import { bringsFile, droppedFile, upload, uploadButton } from "./upload.js";
import { t } from "./words.js";

export function addLoader(node) {
  const accept = async (file) => {
    try {
      choose(node, await upload(file));
    } catch (error) {
      app.extensionManager.toast.add({ severity: "error", summary: t("upload_failed"), detail: error.message });
    }
  };
  const trim = new Trim((start, end) => setPart(node, start, end), commit);
  const player = new Player(t("nothing_chosen"), { extra: [uploadButton(accept)], overlay: trim });
  node.onDragOver = bringsFile;
  node.onDragDrop = (event) => {
    const file = droppedFile(event);
    if (file) accept(file);
    return Boolean(file);
  };
  const linked = (name) => isConnected(node, name);
  let shown; // the URL of the recording that the part belongs to
  const refresh = watch(node, {
    read: () => ({ url: loadedUrl(node), part: partOf(node), locked: ["start", "end"].some(linked) }),
    show: ({ url, part, locked }) => {
      if (url !== shown) player.show(url ? [{ url, name: "" }] : []);
      shown = url;
      trim.show({ ...part, locked });
      player.part = trim.played;
    },
  });
  for (const name of ["start", "end"]) after(widgetOf(node, name), "callback", refresh);
  after(widgetOf(node, "audio"), "callback", () => {
    if (shown !== undefined && shown !== loadedUrl(node)) setPart(node, 0, 0);
    refresh();
  });
  after(node, "onRemoved", () => player.stop());
  addElement(node, player.element, [340, 130]);
}

/** Select a file of the input folder. */
export function choose(node, name) {
  const input = widgetOf(node, "audio");
  if (!input.options.values.includes(name)) input.options.values.push(name);
  write(node, input, name);
}

/** Choose a part. That of one recording means nothing in another. */
function setPart(node, start, end) {
  write(node, widgetOf(node, "start"), start);
  write(node, widgetOf(node, "end"), end);
}
