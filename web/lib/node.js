/** What the widgets need of a node: an element below its inputs, its values, its life in the graph. */

import { app } from "../../../scripts/app.js";

const POLL_MILLISECONDS = 400;

// Events over our elements that belong to the canvas: the method that handles them, and when.
const CANVAS_MOVES = {
  wheel: ["processMouseWheel", () => true],
  pointerdown: ["processMouseDown", ({ button }) => button === 1],
  pointermove: ["processMouseMove", ({ buttons }) => buttons & 4],
  pointerup: ["processMouseUp", ({ button }) => button === 1],
};

/** Add an element below a node's inputs, outside the saved workflow and the prompt. Minimum size in pixels. */
export function addElement(node, element, [width, height]) {
  const value = { getValue: () => "", setValue: () => {} };
  const options = { serialize: false, hideInPanel: true, getMinHeight: () => height, ...value };
  element.style.minHeight = `${height - 20}px`; // for the Vue renderer; the canvas adds 10 pixels on each side
  // ComfyUI's own audio extension looks for a widget of this name on nodes that output audio.
  const widget = node.addDOMWidget("audioUI", "ACESTEP_XL", element, options);
  widget.serialize = false;
  widget.label = element.ariaLabel ?? ""; // the Vue renderer of older frontends lists it in the properties panel
  keepOffPanel(widget);
  forwardToCanvas(element);
  poll(node, () => replaceStale(node, element));
  const [minWidth, minHeight] = node.computeSize();
  node.setSize([Math.max(node.size[0], minWidth, width), Math.max(node.size[1], minHeight)]);
}

/**
 * Leave a widget out of the properties panel, which shows nothing of it and narrows it on its node.
 *
 * Older frontends know no hideInPanel, but leave out what only the canvas shows. Set after the widget exists, since
 * they copy the options; newer ones read it again when the renderer changes.
 */
export function keepOffPanel(widget) {
  Object.defineProperty(widget.options, "canvasOnly", { get: () => !LiteGraph.vueNodesMode, configurable: true });
}

/** Let the wheel zoom and the middle button pan over an element, which lies above the canvas. */
export function forwardToCanvas(element) {
  for (const [kind, [method, applies]] of Object.entries(CANVAS_MOVES)) {
    element.addEventListener(kind, (event) => {
      // The Vue renderer does this itself.
      if (LiteGraph.vueNodesMode || !applies(event)) return;
      event.preventDefault();
      app.canvas[method](event);
    });
  }
}

/** The input of that name. */
export function widgetOf(node, name) {
  return node.widgets.find((widget) => widget.name === name);
}

/** Make the changes so far one step of ComfyUI's undo. */
export function commit() {
  app.extensionManager.workflow.activeWorkflow?.changeTracker?.checkState();
}

/** Set an input as if the user had typed it. */
export function write(node, input, value) {
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
export function watch(node, { read, show }) {
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
export function after(owner, name, callback) {
  const original = owner[name];
  owner[name] = function (...values) {
    const result = original?.apply(this, values);
    callback(...values);
    return result;
  };
}
