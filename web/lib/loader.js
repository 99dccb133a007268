/** The player on the node that loads recordings. */

import { app } from "../../../scripts/app.js";
import { loadedUrl } from "./graph.js";
import { addElement, after, watch, write } from "./node.js";
import { Player } from "./player.js";
import { bringsFile, droppedFile, upload, uploadButton } from "./upload.js";
import { t } from "./words.js";

export function addLoader(node) {
  const input = node.widgets.find((widget) => widget.name === "audio");
  const accept = async (file) => {
    try {
      const name = await upload(file);
      if (!input.options.values.includes(name)) input.options.values.push(name);
      write(node, input, name);
    } catch (error) {
      app.extensionManager.toast.add({ severity: "error", summary: t("upload_failed"), detail: error.message });
    }
  };
  const player = new Player(t("nothing_chosen"), [uploadButton(accept)]);
  node.onDragOver = bringsFile;
  node.onDragDrop = (event) => {
    const file = droppedFile(event);
    if (file) accept(file);
    return Boolean(file);
  };
  watch(node, {
    read: () => loadedUrl(node),
    show: (url) => player.show(url ? [{ url, name: "" }] : []),
  });
  after(node, "onRemoved", () => player.stop());
  addElement(node, player.element, [340, 100]);
}
