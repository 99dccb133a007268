/** The connections of nodes in ComfyUI's graph, and the URLs of ComfyUI's files. */

import { api } from "../../../scripts/api.js";

const OURS = "AceStepXLLoadAudio";
const LOADERS = new Set([OURS, "LoadAudio"]);
const BYPASSED = 4;
const WHOLE = { start: 0, end: 0 };
const NOTHING = { url: null, part: WHOLE };
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
  const [, stored = value, type = "input"] = ANNOTATED.exec(value) ?? [];
  const path = stored.replaceAll("\\", "/"); // as saved on Windows
  const cut = path.lastIndexOf("/");
  return fileUrl({ filename: path.slice(cut + 1), subfolder: path.slice(0, Math.max(cut, 0)), type });
}

/** The part that an audio loader uses, {start, end} in seconds; an end of 0 is that of the file. */
export function partOf(loader) {
  const seconds = (name) => Number(loader.widgets?.find((widget) => widget.name === name)?.value) || 0;
  return loader.comfyClass === OURS ? { start: seconds("start"), end: seconds("end") } : WHOLE;
}

/**
 * The file behind an input and the part of it that is used, {url, part: {start, end}}; url is null if there is none.
 *
 * Follows only reroutes and bypassed nodes, which pass audio on unchanged.
 */
export function sourceOf(node, name) {
  const slot = node.findInputSlot(name);
  let upstream = slot < 0 ? null : node.getInputNode(slot);
  for (let steps = 0; upstream && steps < 100; steps++) {
    if (upstream.mode !== BYPASSED && LOADERS.has(upstream.comfyClass)) return loaded(upstream);
    const input = upstream.type === "Reroute" ? 0 : upstream.mode === BYPASSED ? audioInput(upstream) : -1;
    if (input < 0) break;
    upstream = upstream.getInputNode(input);
  }
  return NOTHING;
}

/** What a loader loads; nothing while other nodes decide which part. */
function loaded(loader) {
  const linked = ["audio", "start", "end"].some((name) => isConnected(loader, name));
  return linked ? NOTHING : { url: loadedUrl(loader), part: partOf(loader) };
}

/** All of this pack's loaders in a workflow, those in the graph of a node first. */
export function loadersOf(node) {
  const root = node.graph.rootGraph ?? node.graph;
  const graphs = new Set([node.graph, root, ...(root.subgraphs?.values() ?? [])]);
  return [...graphs].flatMap((graph) => graph.nodes.filter((other) => other.comfyClass === OURS));
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
