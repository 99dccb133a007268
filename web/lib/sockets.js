/** Colours of this pack's own socket types on the canvas. The style sheet has them for the Vue renderer. */

import { app } from "../../../scripts/app.js";

const TYPES = ["ACESTEP_ENCODED_AUDIO"];

/** Colour sockets and links, again whenever ComfyUI loads a palette: it blanks the types that the palette lacks. */
export function colourSockets() {
  const root = document.documentElement;
  fillBlanks();
  new MutationObserver(fillBlanks).observe(root, { attributes: true, attributeFilter: ["style"] });
}

function fillBlanks() {
  const style = getComputedStyle(document.documentElement);
  for (const colours of [app.canvas.default_connection_color_byType, LGraphCanvas.link_type_colors]) {
    for (const type of TYPES) colours[type] ||= style.getPropertyValue(`--color-datatype-${type}`);
  }
}
