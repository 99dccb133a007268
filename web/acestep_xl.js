/** Browser extensions of this pack's nodes: audio players and the region picker. */

import { api } from "../../scripts/api.js";
import { app } from "../../scripts/app.js";
import { fileUrl, isConnected, loadedUrl, outputKey, sourceUrl } from "./lib/graph.js";
import { RegionPicker } from "./lib/picker.js";
import { Player } from "./lib/player.js";
import { bringsFile, droppedFile, upload, uploadButton } from "./lib/upload.js";
import { learn, t } from "./lib/words.js";

const PACK = "acestep_xl";
const POLL_MILLISECONDS = 400;

const WIDGETS = {
  AceStepXLLoadAudio: addLoader,
  AceStepXLRepaint: addPicker,
  AceStepXLSave: addPlayer,
  AceStepXLSaveEncoded: addPlayer,
};

// Events over our elements that belong to the canvas: the method that handles them, and when.
const CANVAS_MOVES = {
  wheel: ["processMouseWheel", () => true],
  pointerdown: ["processMouseDown", ({ button }) => button === 1],
  pointermove: ["processMouseMove", ({ buttons }) => buttons & 4],
  pointerup: ["processMouseUp", ({ button }) => button === 1],
};

const players = new Map(); // output node -> function that shows its songs

app.registerExtension({
  name: PACK,

  async init() {
    const sheet = new URL("./acestep_xl.css", import.meta.url).href;
    document.head.append(Object.assign(document.createElement("link"), { rel: "stylesheet", href: sheet }));
    const all = await api.getCustomNodesI18n();
    learn(all.en?.[PACK]);
    learn(all[app.extensionManager.setting.get("Comfy.Locale")]?.[PACK]);
  },

  nodeCreated(node) {
    WIDGETS[node.comfyClass]?.(node);
  },

  /** Called when ComfyUI switches to another workflow, whose results it stores. */
  onNodeOutputsUpdated(outputs) {
    for (const [node, show] of players) show(outputs[outputKey(node)], false);
  },
});

function addPlayer(node) {
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

function addLoader(node) {
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

function addPicker(node) {
  const input = node.widgets.find((widget) => widget.name === "regions");
  const picker = new RegionPicker(
    (text) => write(node, input, text),
    () => app.extensionManager.workflow.activeWorkflow?.changeTracker?.checkState(),
  );
  const locked = () => {
    if (isConnected(node, "mask")) return t("mask_connected");
    return isConnected(node, "regions") ? t("regions_connected") : null;
  };
  const refresh = watch(node, {
    read: () => ({ text: String(input.value ?? ""), url: sourceUrl(node, "audio"), locked: locked() }),
    show: (inputs) => picker.show(inputs),
  });
  after(input, "callback", refresh);
  after(node, "onRemoved", () => picker.stop());
  addElement(node, picker.element, [400, 170]);
}

/** Add an element below a node's inputs, outside the saved workflow and the prompt. Minimum size in pixels. */
function addElement(node, element, [width, height]) {
  const options = { serialize: false, getMinHeight: () => height, getValue: () => "", setValue: () => {} };
  element.style.minHeight = `${height - 20}px`; // for the Vue renderer; the canvas adds 10 pixels on each side
  // ComfyUI's own audio extension looks for a widget of this name on nodes that output audio.
  const widget = node.addDOMWidget("audioUI", "ACESTEP_XL", element, options);
  widget.serialize = false;
  forwardToCanvas(element);
  poll(node, () => replaceStale(node, element));
  const [minWidth, minHeight] = node.computeSize();
  node.setSize([Math.max(node.size[0], minWidth, width), Math.max(node.size[1], minHeight)]);
}

/** Let the wheel zoom and the middle button pan over an element, which lies above the canvas. */
function forwardToCanvas(element) {
  for (const [kind, [method, applies]] of Object.entries(CANVAS_MOVES)) {
    element.addEventListener(kind, (event) => {
      // The Vue renderer does this itself.
      if (LiteGraph.vueNodesMode || !applies(event)) return;
      event.preventDefault();
      app.canvas[method](event);
    });
  }
}

/** Set an input as if the user had typed it. */
function write(node, input, value) {
  input.value = value;
  input.callback?.(value);
  node.setDirtyCanvas(true, true);
}

/**
 * Call `show` whenever the result of `read` changes.
 *
 * The values come from the node's inputs and from upstream nodes, which may belong to other packs; polling leaves them
 * untouched, where hooks would not.
 */
function watch(node, { read, show }) {
  let previous = null;
  const refresh = () => {
    if (!node.graph || document.hidden) return;
    const value = read();
    if (JSON.stringify(value) === previous) return;
    previous = JSON.stringify(value);
    show(value);
  };
  poll(node, refresh);
  return refresh;
}

/**
 * Replace the element of an earlier node that the Vue renderer still shows.
 *
 * An undo recreates every node under its old id, and the renderer keeps its element for that id.
 */
function replaceStale(node, element) {
  if (element.isConnected || node.graph !== app.canvas.graph) return;
  document.querySelector(`[data-node-id="${node.id}"] .acestep`)?.replaceWith(element);
}

/** Call a function periodically while a node is in a graph. */
function poll(node, callback) {
  let timer = 0;
  after(node, "onAdded", () => {
    timer = setInterval(callback, POLL_MILLISECONDS);
  });
  after(node, "onRemoved", () => clearInterval(timer));
}

/** Run a function after a callback of one of our nodes, or of its input. */
function after(owner, name, callback) {
  const original = owner[name];
  owner[name] = function (...values) {
    const result = original?.apply(this, values);
    callback(...values);
    return result;
  };
}
