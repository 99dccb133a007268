// The tasks this page has sent: progress, results as they come, errors.

import { make, post } from "./api.js";
import { player } from "./player.js";

const POLL_MS = 1000;
const STORED = "acestep-xl-tasks"; // UUIDs, newest first, so that a reload loses nothing
const KEPT = 20;

// useAsSource(audioUUID) is called by a result's button.
export function results(list, empty, useAsSource) {
  const watched = new Map(); // task UUID -> card
  let timer = null;

  const remember = (uuid) => {
    const known = JSON.parse(sessionStorage.getItem(STORED) ?? "[]").filter((one) => one !== uuid);
    sessionStorage.setItem(STORED, JSON.stringify([uuid, ...known].slice(0, KEPT)));
  };

  const poll = async () => {
    timer = null;
    const waiting = [...watched.values()].filter((card) => !card.finished);
    if (!waiting.length) return;
    const { data, errors } = await post(waiting.map((card) => ({ taskType: "getResponse", taskUUID: card.uuid })));
    const lost = errors.some((error) => !error.taskUUID);
    for (const card of waiting) {
      const mine = (one) => one.taskUUID === card.uuid;
      if (!lost) card.show(data.filter(mine), errors.filter(mine));
    }
    start();
  };
  const start = () => (timer ??= setTimeout(poll, POLL_MS));

  return {
    // Shows a task that was sent. task: as it was sent.
    add(task, known = true) {
      const card = makeCard(task, useAsSource, () => {
        watched.delete(task.taskUUID);
        card.element.remove();
        empty.hidden = list.childElementCount > 0;
      });
      watched.set(task.taskUUID, card);
      list.prepend(card.element);
      empty.hidden = true;
      if (known) remember(task.taskUUID);
      start();
      return card;
    },
    // Brings back what this page had sent before it was loaded again.
    async restore() {
      const known = JSON.parse(sessionStorage.getItem(STORED) ?? "[]");
      if (!known.length) return;
      const { data } = await post(known.map((taskUUID) => ({ taskType: "getTaskDetails", taskUUID })));
      for (const { request } of data.reverse()) this.add(Array.isArray(request) ? request[0] : request, false);
      clearTimeout(timer);
      poll();
    },
  };
}

function makeCard(task, useAsSource, remove) {
  const name = task.positivePrompt ?? task.taskUUID;
  const status = make("span", { className: "small", textContent: "waiting" });
  const dismiss = make("button", { type: "button", className: "plain", textContent: "×", title: "Take off this page", attributes: { "aria-label": "Take off this page" } });
  dismiss.addEventListener("click", remove);
  const bar = make("progress", { max: 100, value: 0, attributes: { "aria-label": `Progress of ${name}` } });
  const body = make("div");
  const head = make("div", { className: "head" }, make("span", { className: "title", textContent: name, title: name }), make("span", {}, status, " ", dismiss));
  const element = make("li", { className: "result" }, head, bar, body);
  const shown = new Set();
  const card = {
    uuid: task.taskUUID,
    element,
    finished: false,
    show(data, errors) {
      for (const result of data.filter((one) => one.audioUUID && !shown.has(one.audioUUID))) {
        shown.add(result.audioUUID);
        body.append(sound(result, task, useAsSource));
      }
      const waiting = data.filter((one) => one.status === "processing");
      const done = data.length - waiting.length;
      const all = data.length + errors.length;
      const progress = waiting.reduce((sum, one) => sum + (one.progress ?? 0), 100 * done);
      bar.value = all ? progress / all : 0;
      card.finished = all > 0 && !waiting.length;
      bar.hidden = card.finished;
      status.textContent = card.finished ? "" : bar.value > 0 ? `${Math.round(bar.value)} %` : "waiting";
      element.classList.toggle("busy", !card.finished);
      if (card.finished) body.append(...errors.map((error) => make("p", { className: "problem", textContent: error.message })));
    },
  };
  return card;
}

function sound(result, task, useAsSource) {
  const ending = (task.outputFormat ?? "MP3").toLowerCase();
  const types = { mp3: "audio/mpeg", wav: "audio/wav", flac: "audio/flac", ogg: "audio/ogg" };
  // An address of this server is fetched from where the page is, whatever name the server knows itself by.
  const own = result.audioURL?.match(/\/audio\/[^/]+$/)?.[0].slice(1);
  const url = own ?? result.audioURL ?? result.audioDataURI ?? `data:${types[ending]};base64,${result.audioBase64Data}`;
  const facts = [ending.toUpperCase(), `seed ${result.seed}`];
  if (result.cost !== undefined) facts.push(`$${result.cost}`);
  const again = make("button", { type: "button", className: "plain", textContent: "Use as source" });
  again.addEventListener("click", () => useAsSource(result.audioUUID));
  return player(url, `${result.audioUUID}.${ending}`, [make("span", { className: "small", textContent: facts.join(" · ") }), again]);
}
