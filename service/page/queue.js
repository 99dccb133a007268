// What the server is working on, whoever asked for it.

import { get, make, post } from "./api.js";

const BUSY_MS = 1000;
const IDLE_MS = 4000;

// Follows the queue while the page is looked at. lost(status) is called when it can't be read.
export function follow(list, empty, count, lost) {
  const rows = new Map();
  let timer = null;
  let asked = 0; // an answer that a later question has overtaken is not shown

  const row = (task) => {
    const title = make("span", { className: "title" });
    const status = make("span", { className: "small" });
    const bar = make("progress", { max: 100 });
    const cancel = make("button", { type: "button", className: "plain", textContent: "Cancel" });
    cancel.addEventListener("click", async () => {
      cancel.disabled = true;
      await post([{ taskType: "cancelTask", taskUUID: task.taskUUID }]);
      refresh();
    });
    const problem = make("span", { className: "problem" });
    const element = make("li", {}, title, cancel, bar, status, problem);
    return { element, title, status, bar, cancel, problem };
  };

  const refresh = async () => {
    clearTimeout(timer);
    const mine = ++asked;
    let tasks = [];
    try {
      tasks = (await get("queue")).data;
    } catch (error) {
      lost(error.status);
    }
    if (mine !== asked) return;
    const present = new Set(tasks.map((task) => task.taskUUID));
    for (const [uuid, { element }] of rows) if (!present.has(uuid)) (element.remove(), rows.delete(uuid));
    for (const task of tasks) {
      if (!rows.has(task.taskUUID)) rows.set(task.taskUUID, row(task));
      const { element, title, status, bar, cancel, problem } = rows.get(task.taskUUID);
      const name = task.positivePrompt ?? task.taskUUID;
      title.textContent = title.title = name;
      bar.value = task.progress ?? 0;
      bar.setAttribute("aria-label", `Progress of ${name}`);
      cancel.setAttribute("aria-label", `Cancel ${name}`);
      const made = task.status === "success" || task.status === "error"; // only its deliveries are left
      cancel.hidden = made;
      status.textContent = made ? "delivering" : task.progress > 0 ? `${task.progress} %` : "waiting";
      const failed = (task.deliveries ?? []).map((one) => one.problem).filter(Boolean);
      problem.textContent = [task.problem, ...failed].filter(Boolean).join(" ");
      if (element.parentNode !== list) list.append(element);
    }
    empty.hidden = tasks.length > 0;
    count.textContent = tasks.length > 1 ? `${tasks.length} tasks` : "";
    if (!document.hidden) timer = setTimeout(refresh, tasks.length ? BUSY_MS : IDLE_MS);
  };
  document.addEventListener("visibilitychange", () => !document.hidden && refresh());
  refresh();
  return refresh;
}
