/** What the browser adds to the nodes of this pack: players for sound, and the region picker. */

import { api } from "../../scripts/api.js";
import { app } from "../../scripts/app.js";
import { fileUrl, isConnected, loadedUrl, outputKey, sourceUrl } from "./lib/graph.js";
import { RegionPicker } from "./lib/picker.js";
import { Player } from "./lib/player.js";
import { bringsFile, droppedFile, upload, uploadButton } from "./lib/upload.js";
import { learn, t } from "./lib/words.js";

const PACK = "acestep_xl";
const WATCH_MILLISECONDS = 400;

const WIDGETS = {
  AceStepXLLoadAudio: addLoader,
  AceStepXLRepaint: addPicker,
  AceStepXLSave: addPlayer,
  AceStepXLSaveEncoded: addPlayer,
};

// Events over our elements that are the canvas's: which of its methods takes them, and when.
const CANVAS_MOVES = {
  wheel: ["processMouseWheel", () => true],
  pointerdown: ["processMouseDown", ({ button }) => button === 1],
  pointermove: ["processMouseMove", ({ buttons }) => buttons & 4],
  pointerup: ["processMouseUp", ({ button }) => button === 1],
};

const players = new Map(); // output nodes, and what plays their songs

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

  /** ComfyUI has turned to another workflow, whose results it remembers. */
  onNodeOutputsUpdated(outputs) {
    for (const [node, show] of players) show(outputs[outputKey(node)], false);
  },
});

function addPlayer(node) {
  const player = new Player(t("run_first"));
  let shown = "";
  // A run may write other songs under the names of deleted ones, so it is shown even where the names are the same.
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
  const take = async (file) => {
    try {
      const name = await upload(file);
      if (!input.options.values.includes(name)) input.options.values.push(name);
      write(node, input, name);
    } catch (error) {
      app.extensionManager.toast.add({ severity: "error", summary: t("upload_failed"), detail: error.message });
    }
  };
  const player = new Player(t("nothing_chosen"), [uploadButton(take)]);
  node.onDragOver = bringsFile;
  node.onDragDrop = (event) => {
    const file = droppedFile(event);
    if (file) take(file);
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
  const look = watch(node, {
    read: () => ({ text: String(input.value ?? ""), url: sourceUrl(node, "audio"), locked: locked() }),
    show: (given) => picker.show(given),
  });
  after(input, "callback", look);
  after(node, "onRemoved", () => picker.stop());
  addElement(node, picker.element, [400, 170]);
}

/** Below a node's inputs; outside the saved workflow and the prompt. size: the least, in pixels. */
function addElement(node, element, [width, height]) {
  const options = { serialize: false, getMinHeight: () => height, getValue: () => "", setValue: () => {} };
  element.style.minHeight = `${height - 20}px`; // for the Vue renderer; the canvas leaves 10 pixels on each side
  // The name is the one that ComfyUI's own audio extension looks for on whatever has made sound.
  const widget = node.addDOMWidget("audioUI", "ACESTEP_XL", element, options);
  widget.serialize = false;
  letCanvasMove(element);
  often(node, () => takePlace(node, element));
  const [least, tall] = node.computeSize();
  node.setSize([Math.max(node.size[0], least, width), Math.max(node.size[1], tall)]);
}

/** Zoom with the wheel and pan with the middle button over an element, which lies on the canvas and not in it. */
function letCanvasMove(element) {
  for (const [kind, [method, concerns]] of Object.entries(CANVAS_MOVES)) {
    element.addEventListener(kind, (event) => {
      // The Vue renderer does so by itself.
      if (LiteGraph.vueNodesMode || !concerns(event)) return;
      event.preventDefault();
      app.canvas[method](event);
    });
  }
}

/** Write an input as if the user had typed it. */
function write(node, input, value) {
  input.value = value;
  input.callback?.(value);
  node.setDirtyCanvas(true, true);
}

/**
 * Show what `read` gives whenever it is something new.
 *
 * The values come from the node's inputs and from nodes before it, which are other people's and stay untouched; so they
 * are looked at now and then instead of being hooked into.
 */
function watch(node, { read, show }) {
  let seen = null;
  const look = () => {
    if (!node.graph || document.hidden) return;
    const found = read();
    if (JSON.stringify(found) === seen) return;
    seen = JSON.stringify(found);
    show(found);
  };
  often(node, look);
  return look;
}

/**
 * Put an element where the Vue renderer still shows that of an earlier node.
 *
 * An undo makes every node anew under its old id, and the renderer keeps what it has for that id.
 */
function takePlace(node, element) {
  if (element.isConnected || node.graph !== app.canvas.graph) return;
  document.querySelector(`[data-node-id="${node.id}"] .acestep`)?.replaceWith(element);
}

/** Do something now and then while a node is in a graph. */
function often(node, act) {
  let timer = 0;
  after(node, "onAdded", () => {
    timer = setInterval(act, WATCH_MILLISECONDS);
  });
  after(node, "onRemoved", () => clearInterval(timer));
}

/** Have something done after a callback of one of our nodes, or of its input. */
function after(owner, name, done) {
  const before = owner[name];
  owner[name] = function (...given) {
    const result = before?.apply(this, given);
    done(...given);
    return result;
  };
}
