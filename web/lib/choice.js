/** A dialog that asks for one of several things. */

import { element } from "./dom.js";
import { t } from "./words.js";

/** Ask with a title; resolves to the index of the label that was chosen, or null. */
export function ask(title, labels) {
  return new Promise((resolve) => {
    const choices = labels.map((label, index) => {
      const choice = element("button", { type: "button", class: "acestep-button" }, label);
      choice.addEventListener("click", () => dialog.close(index));
      return choice;
    });
    const cancel = element("button", { type: "button", class: "acestep-button acestep-cancel" }, t("cancel"));
    cancel.addEventListener("click", () => dialog.close());
    const dialog = element("dialog", { class: "acestep acestep-dialog", "aria-label": title });
    dialog.append(element("p", {}, title), ...choices, cancel);
    dialog.addEventListener("keydown", (event) => event.stopPropagation()); // none of them is a shortcut of ComfyUI's
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(dialog.returnValue === "" ? null : Number(dialog.returnValue));
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}
