// The server's queue, with the tasks of all clients.

import { element, get, post } from "./api.js";

const BUSY_MS = 1000;
const IDLE_MS = 4000;

// Shows the queue while the page is visible. onAnswer(error) is called after each attempt to read it, with null if it
// was read.
export function showQueue(list, empty, count, onAnswer) {
  const rows = new Map();
  let timer = null;
  let latest = 0; // responses to earlier requests are ignored

  const createRow = (task) => {
    const title = element("span", { className: "title" });
    const status = element("span", { className: "small" });
    const bar = element("progress", { max: 100 });
    const cancel = element("button", { type: "button", className: "plain", textContent: "Cancel" });
    cancel.addEventListener("click", async () => {
      cancel.disabled = true;
      await post([{ taskType: "cancelTask", taskUUID: task.taskUUID }]);
      refresh();
    });
    const problem = element("span", { className: "problem" });
    const item = element("li", {}, title, cancel, bar, status, problem);
    return { item, title, status, bar, cancel, problem };
  };

  const refresh = async () => {
    clearTimeout(timer);
    const number = ++latest;
    let tasks = [];
    let problem = null;
    try {
      tasks = (await get("queue")).data;
    } catch (error) {
      problem = error;
    }
    if (number !== latest) return;
    onAnswer(problem);
    const present = new Set(tasks.map((task) => task.taskUUID));
    for (const [uuid, { item }] of rows) if (!present.has(uuid)) (item.remove(), rows.delete(uuid));
    for (const task of tasks) {
      if (!rows.has(task.taskUUID)) rows.set(task.taskUUID, createRow(task));
      const { item, title, status, bar, cancel, problem } = rows.get(task.taskUUID);
      const name = task.positivePrompt ?? task.taskUUID;
      title.textContent = title.title = name;
      bar.value = task.progress ?? 0;
      bar.setAttribute("aria-label", `Progress of ${name}`);
      cancel.setAttribute("aria-label", `Cancel ${name}`);
      const finished = task.status === "success" || task.status === "error"; // only deliveries remain
      cancel.hidden = finished;
      status.textContent = finished ? "delivering" : task.progress > 0 ? `${task.progress} %` : "waiting";
      const failed = (task.deliveries ?? []).map((one) => one.problem).filter(Boolean);
      problem.textContent = [task.problem, ...failed].filter(Boolean).join(" ");
      if (item.parentNode !== list) list.append(item);
    }
    empty.hidden = tasks.length > 0;
    count.textContent = tasks.length > 1 ? `${tasks.length} tasks` : "";
    if (!document.hidden) timer = setTimeout(refresh, tasks.length ? BUSY_MS : IDLE_MS);
  };
  document.addEventListener("visibilitychange", () => !document.hidden && refresh());
  refresh();
  return refresh;
}
