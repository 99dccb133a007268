/** Makes a result the source of another run: copies it into the input folder and selects it in a loader. */

import { api } from "../../../scripts/api.js";
import { app } from "../../../scripts/app.js";
import { ask } from "./choice.js";
import { loadersOf } from "./graph.js";
import { choose } from "./loader.js";
import { commit } from "./node.js";
import { t } from "./words.js";

const LOADER = "AceStepXLLoadAudio";
const GAP = 60; // pixels between the node of the result and a new loader below it

/** node: whose result it is. file: {filename, subfolder, type}. Asks which loader to use where there are several. */
export async function useAsSource(node, file) {
  try {
    const loaders = loadersOf(node);
    const index = loaders.length > 1 ? await ask(t("which_loader"), loaders.map(labelOf)) : 0;
    if (index === null) return;
    const name = await copyToInput(file);
    const loader = loaders[index] ?? addLoaderBelow(node);
    choose(loader, name);
    commit();
    const summary = t(loaders.length ? "source_set" : "source_added", { name, loader: loader.title });
    app.extensionManager.toast.add({ severity: "success", summary, life: 5000 });
  } catch (error) {
    app.extensionManager.toast.add({ severity: "error", summary: t("source_failed"), detail: error.message });
  }
}

/** Resolves to the name of the copy. */
async function copyToInput({ filename, subfolder = "", type = "output" }) {
  const response = await api.fetchApi("/acestep-xl-sources", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ filename, subfolder, type }),
  });
  const { name, error } = await response.json();
  if (!response.ok) throw new Error(error);
  return name;
}

function labelOf(loader) {
  const chosen = loader.widgets.find((widget) => widget.name === "audio").value;
  return `${loader.title} #${loader.id}: ${chosen}`;
}

function addLoaderBelow(node) {
  const loader = LiteGraph.createNode(LOADER);
  loader.pos = [node.pos[0], node.pos[1] + node.size[1] + GAP];
  node.graph.add(loader);
  return loader;
}
