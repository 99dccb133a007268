/**
 * Hints about unusual settings, below the inputs of the nodes they are about.
 *
 * ComfyUI's own text on a node is gone when the run ends, and appears on any workflow that happens to be open.
 */

import { app } from "../../../scripts/app.js";
import { element } from "./dom.js";
import { forwardToCanvas, keepOffPanel } from "./node.js";

export const HINTS = "acestep_xl.hints"; // the server's message
const WIDGET = "acestep_xl_hints";

const received = new Map(); // workflow's id -> node's id in the run -> hints

/** Keep the hints of a node's last run, and show them if its workflow is open. None remove the earlier ones. */
export function receiveHints({ workflow, node, hints }) {
  if (!received.has(workflow)) received.set(workflow, new Map());
  received.get(workflow).set(node, hints);
  if (workflow === app.graph.id) show(node, hints);
}

/** Show what was received for the workflow that has just been opened. */
export function showHints() {
  for (const [node, hints] of received.get(app.graph.id) ?? []) show(node, hints);
}

function show(id, hints) {
  const node = nodeOf(id);
  if (!node) return;
  const widget = node.widgets?.find(({ name }) => name === WIDGET);
  if (hints.length) (widget ?? add(node)).element.firstChild.replaceChildren(...hints.map((text) => line(text)));
  else if (widget) remove(node, widget);
  node.setDirtyCanvas(true, true);
}

const line = (text) => element("p", {}, text);

/** The node of an id such as 5, or 7:5 for node 5 in the subgraph of node 7. */
function nodeOf(id) {
  const inner = id.split(":");
  const last = inner.pop();
  const graph = inner.reduce((outer, part) => outer?.getNodeById(part)?.subgraph, app.graph);
  return graph?.getNodeById(last);
}

function add(node) {
  const lines = element("div", { role: "status" });
  const box = element("div", { class: "acestep-hints" }, lines);
  const options = { serialize: false, hideInPanel: true, getValue: () => "", setValue: () => {} };
  const widget = node.addDOMWidget(WIDGET, "ACESTEP_XL", box, {
    ...options,
    getMinHeight: () => lines.offsetHeight + 20, // the canvas adds 10 pixels on each side
  });
  widget.serialize = false;
  keepOffPanel(widget);
  widget.heightWithout = node.size[1];
  forwardToCanvas(box);
  return widget;
}

function remove(node, widget) {
  node.removeWidget(widget);
  node.setSize([node.size[0], widget.heightWithout]);
}
