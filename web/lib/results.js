/** The player on the nodes that put out songs. */

import { fileUrl, outputKey } from "./graph.js";
import { addElement, after } from "./node.js";
import { Player } from "./player.js";
import { t } from "./words.js";

const players = new Map(); // output node -> function that shows its songs

/** Show the songs that ComfyUI stores for a workflow, after it switches to that workflow. */
export function showStored(outputs) {
  for (const [node, show] of players) show(outputs[outputKey(node)], false);
}

export function addPlayer(node) {
  const player = new Player(t("run_first"));
  let shown = "";
  // A run may reuse the names of deleted songs, so its songs are reloaded even if the names are the same.
  const show = (output, hasRun) => {
    const files = output?.audio;
    if (!files || (JSON.stringify(files) === shown && (!hasRun || player.playing))) return;
    shown = JSON.stringify(files);
    const now = Date.now();
    player.show(files.map((file) => ({ url: `${fileUrl(file)}&shown=${now}`, name: file.filename })));
  };
  after(node, "onAdded", () => players.set(node, show));
  after(node, "onExecuted", (output) => show(output, true));
  after(node, "onRemoved", () => {
    players.delete(node);
    player.stop();
  });
  addElement(node, player.element, [340, 140]);
}
