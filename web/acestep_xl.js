/** Browser extensions of this pack's nodes: audio players and the region picker. */

import { api } from "../../scripts/api.js";
import { app } from "../../scripts/app.js";
import { addLoader } from "./lib/loader.js";
import { addPicker } from "./lib/regions_input.js";
import { addPlayer, showStored } from "./lib/results.js";
import { learn } from "./lib/words.js";

const PACK = "acestep_xl";

const WIDGETS = {
  AceStepXLLoadAudio: addLoader,
  AceStepXLRepaint: addPicker,
  AceStepXLSave: addPlayer,
  AceStepXLSaveEncoded: addPlayer,
};

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
    showStored(outputs);
  },
});
