/** The region picker on the node that repaints. */

import { isConnected, sourceOf } from "./graph.js";
import { addElement, after, commit, watch, widgetOf, write } from "./node.js";
import { RegionPicker } from "./picker.js";
import { t } from "./words.js";

export function addPicker(node) {
  const input = widgetOf(node, "regions");
  const picker = new RegionPicker((text) => write(node, input, text), commit);
  const locked = () => {
    if (isConnected(node, "mask")) return t("mask_connected");
    return isConnected(node, "regions") ? t("regions_connected") : null;
  };
  const refresh = watch(node, {
    read: () => ({ text: String(input.value ?? ""), ...sourceOf(node, "audio"), locked: locked() }),
    show: (inputs) => picker.show(inputs),
  });
  after(input, "callback", refresh);
  after(node, "onRemoved", () => picker.stop());
  addElement(node, picker.element, [400, 170]);
}
