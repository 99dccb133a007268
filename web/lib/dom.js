/** Small helpers for building elements. */

const SVG = "http://www.w3.org/2000/svg";
const ICONS = {
  play: "M8 5v14l11-7z",
  pause: "M7 5h4v14H7zM13 5h4v14h-4z",
  download: "M11 4h2v8h3l-4 5-4-5h3zM5 19h14v2H5z",
  upload: "M11 20h2v-8h3l-4-5-4 5h3zM5 3h14v2H5z",
  region: "M4 5h2v14H4zM18 5h2v14h-2zM9 8l7 4-7 4z",
  add: "M11 5h2v6h6v2h-6v6h-2v-6H5v-2h6z",
  remove: "M6 8h12l-1 13H7zM9 4h6l1 2h4v1H4V6h4z",
  loop: "M7 7h9v3l5-4-5-4v3H5v7h2zM17 17H8v-3l-5 4 5 4v-3h11v-7h-2z",
  volume: "M4 9v6h4l5 4V5L8 9zM15 8v8a5 5 0 0 0 0-8zM15 4v2a7 7 0 0 1 0 12v2a9 9 0 0 0 0-16z",
  muted: "M4 9v6h4l5 4V5L8 9zM21 10l-1.4-1.4-2.1 2.1-2.1-2.1L14 10l2.1 2-2.1 2 1.4 1.4 2.1-2.1 2.1 2.1L21 14l-2.1-2z",
  source: "M3 5h8v2H5v10h6v2H3zM13 7l6 5-6 5v-4H8v-2h5z",
  closer:
    "M10 3a7 7 0 1 0 4.3 12.5l5.1 5.1 1.4-1.4-5.1-5.1A7 7 0 0 0 10 3zm0 2a5 5 0 1 1 0 10 5 5 0 0 1 0-10z" +
    "M9 7h2v2h2v2h-2v2H9v-2H7V9h2z",
};

/** An element with properties, data, aria and style attributes, and children. */
export function element(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children);
  return node;
}

/** An icon from the table above, in the colour of the surrounding text. */
export function icon(name) {
  const drawing = document.createElementNS(SVG, "svg");
  drawing.setAttribute("viewBox", "0 0 24 24");
  drawing.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", ICONS[name]);
  drawing.append(path);
  return drawing;
}

/** A button with an icon; the label is for screen readers and the tooltip. */
export function button(name, label, onClick) {
  const node = element("button", { type: "button", class: "acestep-button" }, icon(name));
  relabel(node, label);
  node.addEventListener("click", onClick);
  return node;
}

export function relabel(node, label) {
  node.title = label;
  node.setAttribute("aria-label", label);
}

/** Keep a key from ComfyUI's shortcuts: Delete would delete the node, Space would pan the canvas. */
export function claim(event) {
  event.preventDefault();
  event.stopPropagation();
}

/** Stop the keys that press or set our controls here; with Ctrl, Alt or Meta they are ComfyUI's shortcuts. */
export function shield(root) {
  root.addEventListener("keydown", (event) => {
    const shortcut = event.ctrlKey || event.altKey || event.metaKey;
    const ours = event.key === " " || event.key === "Enter" || event.target.matches("select, input");
    if (!shortcut && ours) event.stopPropagation();
  });
}
