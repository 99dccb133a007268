/** The player on the nodes that put out songs. */

import { button } from "./dom.js";
import { fileUrl, outputKey } from "./graph.js";
import { addElement, after } from "./node.js";
import { Player } from "./player.js";
import { useAsSource } from "./source.js";
import { t } from "./words.js";

const players = new Map(); // output node -> function that shows its songs

/** Show the songs that ComfyUI stores for a workflow, after it switches to that workflow. */
export function showStored(outputs) {
  for (const [node, show] of players) show(outputs[outputKey(node)], false);
}

export function addPlayer(node) {
  let files = [];
  const source = button("source", t("use_as_source"), () => useAsSource(node, files[player.chosen]));
  const player = new Player(t("run_first"), { extra: [source] });
  source.disabled = true;
  // A run may reuse the names of deleted songs, so its songs are reloaded even if the names are the same.
  const show = (output, hasRun) => {
    const unchanged = JSON.stringify(output?.audio) === JSON.stringify(files);
    if (!output?.audio || (unchanged && (!hasRun || player.playing))) return;
    files = output.audio;
    source.disabled = !files.length;
    const now = Date.now();
    player.show(
      files.map((file) => ({ url: `${fileUrl(file)}&shown=${now}`, name: file.filename, seed: seedText(file) })),
    );
  };
  after(node, "onAdded", () => players.set(node, show));
  after(node, "onExecuted", (output) => show(output, true));
  after(node, "onRemoved", () => {
    players.delete(node);
    player.stop();
  });
  addElement(node, player.element, [340, 160]);
}

/** The seed of a song, or only that of its batch, as text; null if it has none. */
function seedText({ seed, batch_seed: batch }) {
  if (seed) return t("seed", { seed });
  return batch ? t("batch_seed", { seed: batch }) : null;
}
