// The tasks that this page sent: their progress, results and errors.

import { element, post } from "./api.js";
import { player } from "./player.js";

const POLL_MS = 1000;
const STORED = "acestep-xl-tasks"; // UUIDs, newest first, to restore them after a reload
const MAX_STORED = 20;

// Shows results in a list. wording(error): an error as the page says it. useAsSource(audioUUID) is called by a result's
// button.
export function showResults(list, empty, wording, useAsSource) {
  const cards = new Map(); // task UUID -> card
  let timer = null;

  const stored = () => JSON.parse(sessionStorage.getItem(STORED) ?? "[]");
  const store = (uuid) => {
    const others = stored().filter((other) => other !== uuid);
    sessionStorage.setItem(STORED, JSON.stringify([uuid, ...others].slice(0, MAX_STORED)));
  };

  const poll = async () => {
    timer = null;
    const unfinished = [...cards.values()].filter((card) => !card.finished);
    if (!unfinished.length) return;
    const { data, errors } = await post(unfinished.map((card) => ({ taskType: "getResponse", taskUUID: card.uuid })));
    const failed = errors.some((error) => !error.taskUUID); // the request itself, not a task
    for (const card of unfinished) {
      const belongs = (entry) => entry.taskUUID === card.uuid;
      if (!failed) card.show(data.filter(belongs), errors.filter(belongs));
    }
    start();
  };
  const start = () => (timer ??= setTimeout(poll, POLL_MS));

  return {
    // Shows a task as it was sent.
    add(task, isNew = true) {
      const card = createCard(task, wording, useAsSource, () => {
        cards.delete(task.taskUUID);
        card.item.remove();
        empty.hidden = list.childElementCount > 0;
      });
      cards.set(task.taskUUID, card);
      list.prepend(card.item);
      empty.hidden = true;
      if (isNew) store(task.taskUUID);
      start();
      return card;
    },
    // Shows the tasks that were sent before the page was reloaded.
    async restore() {
      const uuids = stored();
      if (!uuids.length) return;
      const { data } = await post(uuids.map((taskUUID) => ({ taskType: "getTaskDetails", taskUUID })));
      for (const { request } of data.reverse()) this.add(Array.isArray(request) ? request[0] : request, false);
      clearTimeout(timer);
      poll();
    },
  };
}

function createCard(task, wording, useAsSource, remove) {
  const name = task.positivePrompt ?? task.taskUUID;
  const status = element("span", { className: "small", textContent: "waiting" });
  const dismiss = element("button", { type: "button", className: "plain", textContent: "×", title: "Remove from this page", attributes: { "aria-label": "Remove from this page" } });
  dismiss.addEventListener("click", remove);
  const bar = element("progress", { max: 100, value: 0, attributes: { "aria-label": `Progress of ${name}` } });
  const body = element("div");
  const head = element("div", { className: "head" }, element("span", { className: "title", textContent: name, title: name }), element("span", {}, status, " ", dismiss));
  const item = element("li", { className: "result" }, head, bar, body);
  const shown = new Set();
  const card = {
    uuid: task.taskUUID,
    item,
    finished: false,
    show(data, errors) {
      for (const result of data.filter((entry) => entry.audioUUID && !shown.has(entry.audioUUID))) {
        shown.add(result.audioUUID);
        body.append(createPlayer(result, task, useAsSource));
      }
      const unfinished = data.filter((entry) => entry.status === "processing");
      const done = data.length - unfinished.length;
      const total = data.length + errors.length;
      const progress = unfinished.reduce((sum, entry) => sum + (entry.progress ?? 0), 100 * done);
      bar.value = total ? progress / total : 0;
      card.finished = total > 0 && !unfinished.length;
      bar.hidden = card.finished;
      status.textContent = card.finished ? "" : bar.value > 0 ? `${Math.round(bar.value)} %` : "waiting";
      item.classList.toggle("busy", !card.finished);
      if (card.finished) body.append(...errors.map((error) => element("p", { className: "problem", textContent: wording(error) })));
    },
  };
  return card;
}

function createPlayer(result, task, useAsSource) {
  const extension = (task.outputFormat ?? "MP3").toLowerCase();
  const types = { mp3: "audio/mpeg", wav: "audio/wav", flac: "audio/flac", ogg: "audio/ogg" };
  // The server may know itself by another name than this page does, so its own files are fetched by relative URL.
  const relative = result.audioURL?.match(/\/audio\/[^/]+$/)?.[0].slice(1);
  const url = relative ?? result.audioURL ?? result.audioDataURI ?? `data:${types[extension]};base64,${result.audioBase64Data}`;
  const facts = [extension.toUpperCase(), `seed ${result.seed}`];
  if (result.cost !== undefined) facts.push(`$${result.cost}`);
  const reuse = element("button", { type: "button", className: "plain", textContent: "Use as source" });
  reuse.addEventListener("click", () => useAsSource(result.audioUUID));
  return player(url, `${result.audioUUID}.${extension}`, [element("span", { className: "small", textContent: facts.join(" · ") }), reuse]);
}
