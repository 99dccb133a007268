/** The connections of nodes in ComfyUI's graph, and the URLs of ComfyUI's files. */

import { api } from "../../../scripts/api.js";

const OURS = "AceStepXLLoadAudio";
const LOADERS = new Set([OURS, "LoadAudio"]);
const BYPASSED = 4;
const EXAMPLE = "example";
const ANNOTATED = /^(.*) \[(input|output|temp)\]$/;
const MELODY = new URL("../example.mp3", import.meta.url).href;

/** The URL of a file in ComfyUI's input, output or temporary folder. */
export function fileUrl({ filename, subfolder = "", type = "output" }) {
  return api.apiURL(`/view?${new URLSearchParams({ filename, subfolder, type })}`);
}

/** The URL of the file chosen in an audio loader, or null. */
export function loadedUrl(loader) {
  const value = loader.widgets?.find((widget) => widget.name === "audio")?.value;
  if (typeof value !== "string" || !value) return null;
  if (loader.comfyClass === OURS && value === EXAMPLE) return MELODY;
  const [, path = value, type = "input"] = ANNOTATED.exec(value) ?? [];
  const cut = path.lastIndexOf("/");
  return fileUrl({ filename: path.slice(cut + 1), subfolder: path.slice(0, Math.max(cut, 0)), type });
}

/**
 * The URL of the file behind an input, or null.
 *
 * Follows only reroutes and bypassed nodes, which pass audio on unchanged.
 */
export function sourceUrl(node, name) {
  const slot = node.findInputSlot(name);
  let upstream = slot < 0 ? null : node.getInputNode(slot);
  for (let steps = 0; upstream && steps < 100; steps++) {
    if (upstream.mode !== BYPASSED && LOADERS.has(upstream.comfyClass)) return loadedUrl(upstream);
    const input = upstream.type === "Reroute" ? 0 : upstream.mode === BYPASSED ? audioInput(upstream) : -1;
    if (input < 0) return null;
    upstream = upstream.getInputNode(input);
  }
  return null;
}

export function isConnected(node, name) {
  const slot = node.findInputSlot(name);
  return slot >= 0 && node.isInputConnected(slot);
}

/** A node's key in ComfyUI's stored outputs; in a subgraph it is prefixed with the subgraph's id. */
export function outputKey(node) {
  const inside = node.graph && node.graph !== node.graph.rootGraph;
  return inside ? `${node.graph.id}:${node.id}` : String(node.id);
}

function audioInput(node) {
  return node.inputs?.findIndex((input) => input.type === "AUDIO") ?? -1;
}
