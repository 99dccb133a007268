/** Browser extensions of this pack's nodes: audio players, the region picker, hints. */

import { api } from "../../scripts/api.js";
import { app } from "../../scripts/app.js";
import { HINTS, receiveHints, showHints } from "./lib/hints.js";
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
    api.addEventListener(HINTS, ({ detail }) => receiveHints(detail));
    const all = await api.getCustomNodesI18n();
    learn(all.en?.[PACK]);
    learn(all[app.extensionManager.setting.get("Comfy.Locale")]?.[PACK]);
  },

  nodeCreated(node) {
    WIDGETS[node.comfyClass]?.(node);
  },

  afterConfigureGraph() {
    showHints();
  },

  /** Called when ComfyUI switches to another workflow, whose results it stores. */
  onNodeOutputsUpdated(outputs) {
    showStored(outputs);
  },
});
