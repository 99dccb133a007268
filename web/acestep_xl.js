/** Browser extensions of this pack's nodes: audio players, the region picker, hints, texts, colours. */

import { api } from "../../scripts/api.js";
import { app } from "../../scripts/app.js";
import { HINTS, receiveHints, showHints } from "./lib/hints.js";
import { addLoader } from "./lib/loader.js";
import { learnNotes, translateNotes } from "./lib/notes.js";
import { addPicker } from "./lib/regions_input.js";
import { addPlayer, showStored } from "./lib/results.js";
import { colourSockets } from "./lib/sockets.js";
import { learn } from "./lib/words.js";

const PACK = "acestep_xl";

const WIDGETS = {
  AceStepXLLoadAudio: addLoader,
  AceStepXLPreview: addPlayer,
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
    const language = app.extensionManager.setting.get("Comfy.Locale");
    learn(all[language]?.[PACK]);
    learnNotes(all, language);
  },

  setup() {
    colourSockets();
  },

  nodeCreated(node) {
    WIDGETS[node.comfyClass]?.(node);
  },

  afterConfigureGraph() {
    translateNotes(app.graph);
    showHints();
  },

  /** Called when ComfyUI switches to another workflow, whose results it stores. */
  onNodeOutputsUpdated(outputs) {
    showStored(outputs);
  },
});
