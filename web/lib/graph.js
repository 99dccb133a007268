/** What a node of ComfyUI's graph is connected to, and where the browser finds a file of ComfyUI. */

import { api } from "../../../scripts/api.js";

const OURS = "AceStepXLLoadAudio";
const LOADERS = new Set([OURS, "LoadAudio"]);
const BYPASSED = 4;
const EXAMPLE = "example";
const ANNOTATED = /^(.*) \[(input|output|temp)\]$/;
const MELODY = new URL("../example.mp3", import.meta.url).href;

/** The address of a file in ComfyUI's input, output or temporary folder. */
export function fileUrl({ filename, subfolder = "", type = "output" }) {
  return api.apiURL(`/view?${new URLSearchParams({ filename, subfolder, type })}`);
}

/** The address of what an audio loader has chosen; null where it has chosen nothing. */
export function loadedUrl(loader) {
  const value = loader.widgets?.find((widget) => widget.name === "audio")?.value;
  if (typeof value !== "string" || !value) return null;
  if (loader.comfyClass === OURS && value === EXAMPLE) return MELODY;
  const [, path = value, type = "input"] = ANNOTATED.exec(value) ?? [];
  const cut = path.lastIndexOf("/");
  return fileUrl({ filename: path.slice(cut + 1), subfolder: path.slice(0, Math.max(cut, 0)), type });
}

/**
 * The address of the file behind an input; null where there is none.
 *
 * Only through what hands the sound on as it is: reroutes and bypassed nodes. Anything else may have cut or changed it.
 */
export function sourceUrl(node, name) {
  const slot = node.findInputSlot(name);
  let before = slot < 0 ? null : node.getInputNode(slot);
  for (let steps = 0; before && steps < 100; steps++) {
    if (before.mode !== BYPASSED && LOADERS.has(before.comfyClass)) return loadedUrl(before);
    const through = before.type === "Reroute" ? 0 : before.mode === BYPASSED ? audioInput(before) : -1;
    if (through < 0) return null;
    before = before.getInputNode(through);
  }
  return null;
}

export function isConnected(node, name) {
  const slot = node.findInputSlot(name);
  return slot >= 0 && node.isInputConnected(slot);
}

/** A node's key among the outputs that ComfyUI keeps: inside a subgraph its id follows the subgraph's. */
export function outputKey(node) {
  const inside = node.graph && node.graph !== node.graph.rootGraph;
  return inside ? `${node.graph.id}:${node.id}` : String(node.id);
}

function audioInput(node) {
  return node.inputs?.findIndex((input) => input.type === "AUDIO") ?? -1;
}
