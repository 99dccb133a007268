// The page: one request, edited as a form and as JSON, with the queue and its results.

import { element, get, getKey, post, setKey, uuid } from "./api.js";
import { createField } from "./fields.js";
import { showQueue } from "./queue.js";
import { showResults } from "./results.js";
import { constants, getPath, grouped, label, labelled, parameters, setPath } from "./schema.js";
import { addUpload } from "./source.js";

const byId = (id) => document.getElementById(id);
const controls = new Map(); // name -> field
const groups = []; // {members, note}
const sentUuids = new Set(); // of tasks
let fixed = {}; // the type and model of every task
let tasks = []; // the request; the form shows the first one
let results = null;
let refreshQueue = () => {};

const ONE_COLUMN = matchMedia("(max-width: 900px)"); // where results lie below the form
const KEY_ERRORS = {
  missingApiKey: "This server needs an API key: enter it at the top of the page.",
  invalidApiKey: "The API key was not accepted: check it, and enter it again at the top of the page.",
};

const showStatus = (text) => (byId("status").textContent = text);

function newTask() {
  return { ...fixed, taskUUID: uuid(), positivePrompt: "", deliveryMethod: "async" };
}

function showJson() {
  byId("json").value = JSON.stringify(tasks, null, 2);
  byId("json-problem").textContent = "";
}

function showForm() {
  for (const [name, control] of controls) control.write(getPath(tasks[0] ?? {}, name));
  summarise();
}

// Shows what is set in each group, so that a closed one hides nothing.
function summarise() {
  for (const { members, note } of groups) {
    const set = members.filter(({ name }) => getPath(tasks[0] ?? {}, name) !== undefined && name !== "positivePrompt");
    note.textContent = set.map(({ name }) => `${label(name)} ${short(getPath(tasks[0], name))}`).join(", ");
  }
}

const short = (value) => (typeof value === "object" ? "{…}" : String(value).slice(0, 40));

function changed(name) {
  const value = controls.get(name).read();
  setPath(tasks[0], name, name === "positivePrompt" ? (value ?? "") : value);
  controls.get(name).showError("");
  summarise();
  showJson();
}

function buildForm(list) {
  for (const { title, open, members } of grouped(list)) {
    const note = element("small");
    const fields = element("div", { className: "fields" });
    for (const member of members) {
      const control = createField(member, () => changed(member.name));
      controls.set(member.name, control);
      fields.append(control.root);
    }
    groups.push({ members, note });
    byId("form").append(element("details", { className: "group", open: Boolean(open) }, element("summary", {}, title, note), fields));
  }
  if (controls.has("inputs.audio")) addUpload(controls, changed, showStatus, wording);
}

function readJson() {
  try {
    const value = JSON.parse(byId("json").value);
    if (!Array.isArray(value) || value[0] === null || typeof value[0] !== "object") throw new Error("it must be an array of tasks");
    tasks = value;
    byId("json-problem").textContent = "";
    showForm();
    return true;
  } catch (error) {
    byId("json-problem").textContent = `This cannot be sent: ${error.message}`;
    return false;
  }
}

// An error in the words of the editor that is open: the form has labels, the JSON has names.
function wording(error) {
  if (error.code in KEY_ERRORS) return KEY_ERRORS[error.code];
  return byId("pane-json").hidden ? labelled(error, [...controls.keys()]) : error.message;
}

// The field of a parameter or of a part of its value, such as advancedFeatures.modularScheduler.solver.
function fieldOf(parameter) {
  return [...controls.keys()].find((name) => parameter === name || parameter.startsWith(`${name}.`) || parameter.startsWith(`${name}[`));
}

function showErrors(errors) {
  for (const control of controls.values()) control.showError("");
  const general = []; // messages without a visible field
  let first = null;
  for (const error of errors) {
    const names = [error.parameter ?? []].flat().map(fieldOf);
    const control = controls.get(names.find(Boolean));
    if (!control || !byId("pane-json").hidden) general.push(wording(error));
    else {
      control.root.closest("details").open = true;
      control.showError(wording(error));
      first ??= control;
    }
  }
  byId("problems").replaceChildren(...general.map((message) => element("p", { textContent: message })));
  first?.input.focus();
}

async function send() {
  if (!byId("pane-json").hidden && !readJson()) return;
  for (const task of tasks) {
    if (sentUuids.has(task.taskUUID)) task.taskUUID = uuid();
    if (task.taskUUID) sentUuids.add(task.taskUUID);
  }
  showJson();
  const request = structuredClone(tasks);
  byId("send").disabled = true;
  showStatus("Sending…");
  const { data, errors } = await post(request);
  byId("send").disabled = false;
  showStatus(errors.length ? "" : "Accepted.");
  showErrors(errors);
  const refused = new Set(errors.map((error) => error.taskUUID));
  const accepted = request.filter((entry) => entry.taskType === "audioInference" && !refused.has(entry.taskUUID) && data.some((answer) => answer.taskUUID === entry.taskUUID));
  const cards = accepted.map((task) => results.add(task));
  if (cards.length && !errors.length) showCard(cards[0]);
  if (errors.some((error) => error.code in KEY_ERRORS)) showKeyState(errors[0]);
  refreshQueue();
}

// On a narrow screen the new result lies far below the button.
function showCard(card) {
  if (!ONE_COLUMN.matches) return;
  const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
  card.item.scrollIntoView({ behavior: calm ? "auto" : "smooth", block: "start" });
}

// What the server says to the API key. A wrong one is forgotten, so that the page does not send it again and again.
function showKeyState(error) {
  const state = byId("key-state");
  const rejected = error?.code === "invalidApiKey" || (error?.status === 429 && getKey());
  if (rejected) setKey("");
  else if (error?.code === "missingApiKey" && state.className === "bad") return; // it was wrong; nothing new was entered
  state.className = rejected ? "bad" : "";
  if (rejected) byId("key").setAttribute("aria-invalid", "true");
  else byId("key").removeAttribute("aria-invalid");
  if (rejected) state.textContent = error.code === "invalidApiKey" ? "this key is not accepted" : "too many wrong keys; wait a minute";
  else state.textContent = error ? (error.code === "missingApiKey" ? "a key is needed" : "") : getKey() ? "accepted" : "";
}

function curlCommand() {
  const key = getKey() ? ' -H "Authorization: Bearer $ACESTEP_XL_API_KEY"' : "";
  const body = JSON.stringify(tasks, null, 2).replaceAll("'", `'\\''`);
  return `curl ${new URL("v1", location.href)} -H "Content-Type: application/json"${key} -d '${body}'`;
}

function selectTab(tab) {
  if (tab === "tab-form" && !byId("pane-json").hidden && !readJson()) return;
  for (const id of ["tab-form", "tab-json"]) {
    const selected = id === tab;
    byId(id).setAttribute("aria-selected", selected);
    byId(id).tabIndex = selected ? 0 : -1;
    byId(byId(id).getAttribute("aria-controls")).hidden = !selected;
  }
}

function addListeners() {
  byId("form").addEventListener("submit", (event) => (event.preventDefault(), send()));
  byId("form").addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) send();
    else if (event.key === "Enter" && event.target.tagName === "INPUT") event.preventDefault();
  });
  byId("json").addEventListener("input", readJson);
  byId("json").addEventListener("keydown", (event) => event.key === "Enter" && (event.ctrlKey || event.metaKey) && send());
  byId("copy").addEventListener("click", async () => {
    await navigator.clipboard.writeText(curlCommand());
    showStatus("Copied.");
  });
  byId("clear").addEventListener("click", () => {
    tasks = [newTask()];
    showForm();
    showJson();
    showErrors([]);
    showStatus("");
  });
  for (const [id, other] of [["tab-form", "tab-json"], ["tab-json", "tab-form"]]) {
    byId(id).addEventListener("click", () => selectTab(id));
    byId(id).addEventListener("keydown", (event) => ["ArrowLeft", "ArrowRight"].includes(event.key) && (selectTab(other), byId(other).focus()));
  }
  byId("login").addEventListener("submit", (event) => {
    event.preventDefault();
    setKey(byId("key").value.trim());
    byId("key").value = "";
    byId("key-state").className = "";
    byId("key-state").textContent = "checking…";
    refreshQueue();
    results.restore();
  });
}

async function showHealth() {
  const health = await get("health").catch(() => null);
  byId("health").className = health ? "up" : "down";
  byId("health").textContent = health ? (health.demo ? "demo network, simple tunes only" : "ready") : "the server cannot be reached";
  byId("login").hidden = !health?.apiKey;
}

async function main() {
  const list = parameters(await get("openapi.json"));
  fixed = constants(list);
  tasks = [newTask()];
  buildForm(list);
  showForm();
  showJson();
  results = showResults(byId("results"), byId("results-empty"), wording, (audioUUID) => {
    controls.get("inputs.audio").write(audioUUID);
    changed("inputs.audio");
    controls.get("inputs.audio").root.closest("details").open = true;
    controls.get("inputs.audio").input.focus();
  });
  addListeners();
  await showHealth();
  refreshQueue = showQueue(byId("queue"), byId("queue-empty"), byId("queue-count"), (error) => {
    showKeyState(error);
    if (error && error.status !== 401) showHealth();
  });
  results.restore();
}

main();
