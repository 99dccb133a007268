// The page: one request, bound to a form and to its JSON, and what becomes of it.

import { get, getKey, make, post, setKey, uuid } from "./api.js";
import { field } from "./fields.js";
import { follow } from "./queue.js";
import { results } from "./results.js";
import { constants, getPath, grouped, parameters, setPath } from "./schema.js";
import { equip } from "./source.js";

const at = (id) => document.getElementById(id);
const controls = new Map(); // name -> field
const groups = []; // {members, note}
const used = new Set(); // task UUIDs that were sent
let fixed = {}; // what every task has: its type and model
let tasks = []; // what is sent; the form shows the first
let sent = null;
let queue = () => {};

const say = (text) => (at("said").textContent = text);

function fresh() {
  return { ...fixed, taskUUID: uuid(), positivePrompt: "", deliveryMethod: "async" };
}

function showJson() {
  at("json").value = JSON.stringify(tasks, null, 2);
  at("json-problem").textContent = "";
}

function showForm() {
  for (const [name, control] of controls) control.write(getPath(tasks[0] ?? {}, name));
  summarize();
}

// What is set in each closed group, so that nothing acts unseen.
function summarize() {
  for (const { members, note } of groups) {
    const set = members.filter(({ name }) => getPath(tasks[0] ?? {}, name) !== undefined && name !== "positivePrompt");
    note.textContent = set.map(({ name }) => `${name.split(".").pop()} ${short(getPath(tasks[0], name))}`).join(", ");
  }
}

const short = (value) => (typeof value === "object" ? "{…}" : String(value).slice(0, 40));

function changed(name) {
  const value = controls.get(name).read();
  setPath(tasks[0], name, name === "positivePrompt" ? (value ?? "") : value);
  controls.get(name).blame("");
  summarize();
  showJson();
}

function buildForm(list) {
  for (const { title, open, members } of grouped(list)) {
    const note = make("small");
    const fields = make("div", { className: "fields" });
    for (const member of members) {
      const control = field(member, () => changed(member.name));
      controls.set(member.name, control);
      fields.append(control.element);
    }
    groups.push({ members, note });
    at("form").append(make("details", { className: "group", open: Boolean(open) }, make("summary", {}, title, note), fields));
  }
  if (controls.has("inputs.audio")) equip(controls, changed, say);
}

function readJson() {
  try {
    const value = JSON.parse(at("json").value);
    if (!Array.isArray(value) || value[0] === null || typeof value[0] !== "object") throw new Error("it must be an array of tasks");
    tasks = value;
    at("json-problem").textContent = "";
    showForm();
    return true;
  } catch (error) {
    at("json-problem").textContent = `This can't be sent: ${error.message}`;
    return false;
  }
}

function showProblems(errors) {
  for (const control of controls.values()) control.blame("");
  const elsewhere = [];
  let first = null;
  for (const error of errors) {
    const names = [error.parameter ?? []].flat().map((name) => [...controls.keys()].find((known) => name === known || name.startsWith(`${known}.`) || name.startsWith(`${known}[`)));
    const control = controls.get(names.find(Boolean));
    if (!control || !at("pane-json").hidden) elsewhere.push(error.message);
    else {
      control.element.closest("details").open = true;
      control.blame(error.message);
      first ??= control;
    }
  }
  at("problems").replaceChildren(...elsewhere.map((message) => make("p", { textContent: message })));
  first?.input.focus();
}

async function send() {
  if (!at("pane-json").hidden && !readJson()) return;
  for (const task of tasks) {
    if (used.has(task.taskUUID)) task.taskUUID = uuid();
    if (task.taskUUID) used.add(task.taskUUID);
  }
  showJson();
  const going = structuredClone(tasks);
  at("send").disabled = true;
  say("Sending…");
  const { data, errors } = await post(going);
  at("send").disabled = false;
  say(errors.length ? "" : "Accepted.");
  showProblems(errors);
  const refused = new Set(errors.map((error) => error.taskUUID));
  for (const task of going.filter((one) => one.taskType === "audioInference" && !refused.has(one.taskUUID))) {
    if (!data.some((one) => one.taskUUID === task.taskUUID)) continue;
    sent.add(task);
  }
  queue();
}

function curl() {
  const key = getKey() ? ' -H "Authorization: Bearer $ACESTEP_XL_API_KEY"' : "";
  const body = JSON.stringify(tasks, null, 2).replaceAll("'", `'\\''`);
  return `curl ${new URL("v1", location.href)} -H "Content-Type: application/json"${key} -d '${body}'`;
}

function select(tab) {
  if (tab === "tab-form" && !at("pane-json").hidden && !readJson()) return;
  for (const id of ["tab-form", "tab-json"]) {
    const chosen = id === tab;
    at(id).setAttribute("aria-selected", chosen);
    at(id).tabIndex = chosen ? 0 : -1;
    at(at(id).getAttribute("aria-controls")).hidden = !chosen;
  }
}

function listen() {
  at("form").addEventListener("submit", (event) => (event.preventDefault(), send()));
  at("form").addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) send();
    else if (event.key === "Enter" && event.target.tagName === "INPUT") event.preventDefault();
  });
  at("json").addEventListener("input", readJson);
  at("json").addEventListener("keydown", (event) => event.key === "Enter" && (event.ctrlKey || event.metaKey) && send());
  at("copy").addEventListener("click", async () => {
    await navigator.clipboard.writeText(curl());
    say("Copied.");
  });
  at("clear").addEventListener("click", () => {
    tasks = [fresh()];
    showForm();
    showJson();
    showProblems([]);
    say("");
  });
  for (const [id, other] of [["tab-form", "tab-json"], ["tab-json", "tab-form"]]) {
    at(id).addEventListener("click", () => select(id));
    at(id).addEventListener("keydown", (event) => ["ArrowLeft", "ArrowRight"].includes(event.key) && (select(other), at(other).focus()));
  }
  at("login").addEventListener("submit", (event) => {
    event.preventDefault();
    setKey(at("key").value);
    at("key").value = "";
    queue();
    sent.restore();
  });
}

async function greet() {
  const health = await get("health").catch(() => null);
  at("health").className = health ? "up" : "down";
  at("health").textContent = health ? (health.demo ? "demo network: simple tunes only" : "ready") : "the server cannot be reached";
  at("login").hidden = !health?.apiKey;
}

async function main() {
  const list = parameters(await get("openapi.json"));
  fixed = constants(list);
  tasks = [fresh()];
  buildForm(list);
  showForm();
  showJson();
  sent = results(at("results"), at("results-empty"), (audioUUID) => {
    controls.get("inputs.audio").write(audioUUID);
    changed("inputs.audio");
    controls.get("inputs.audio").element.closest("details").open = true;
    controls.get("inputs.audio").input.focus();
  });
  listen();
  await greet();
  queue = follow(at("queue"), at("queue-empty"), at("queue-count"), (status) => (status === 401 ? (at("health").textContent = "give an API key") : greet()));
  sent.restore();
}

main();
