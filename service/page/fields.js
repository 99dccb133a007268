// One form control per parameter. A parameter whose control is empty is left out of the task.

import { element } from "./api.js";
import { label } from "./schema.js";

const LONG = 1000; // a text parameter that allows this many characters gets a text area

// The control of a parameter: {name, root, input, read(), write(value), showError(message)}. changed() is called after
// each edit by the user.
export function createField({ name, schema, required }, changed) {
  const id = `f-${name.replaceAll(".", "-")}`;
  const help = element("p", { className: "help", id: `${id}-help`, textContent: schema.description ?? "" });
  const problem = element("p", { className: "problem", id: `${id}-problem`, hidden: true });
  const count = element("span", { className: "count" });
  const kind = KINDS.find((one) => one.fits(schema));
  const control = kind.create(schema, { id, name, required }, changed, count);
  const input = control.input;
  input.id = id;
  input.name = name;
  input.setAttribute("aria-describedby", `${help.id} ${problem.id}`);
  if (required) input.required = true;
  const title = element("label", { htmlFor: id, textContent: label(name), title: name });
  const head = element("div", { className: "name" }, title, count);
  const root = element("div", { className: `field${kind.wide ? " wide" : ""}${kind.code ? " code" : ""}` }, head, control.body ?? input, help, problem);
  root.dataset.name = name;
  const mark = () => root.classList.toggle("absent", control.read() === undefined);
  input.addEventListener("input", mark);
  return {
    name,
    root,
    input,
    read: control.read,
    write(value) {
      control.write(value);
      mark();
    },
    showError(message) {
      problem.textContent = message;
      problem.hidden = !message;
      if (message) input.setAttribute("aria-invalid", "true");
      else input.removeAttribute("aria-invalid");
    },
  };
}

function numberOf(text) {
  const number = Number(text);
  return Number.isFinite(number) ? number : text; // the server reports what is not a number
}

function choice(schema, { required }, changed) {
  const input = element("select");
  const emptyLabel = "default" in schema ? `${schema.default} (default)` : "not set";
  if (!required) input.append(element("option", { value: "", textContent: emptyLabel }));
  for (const value of schema.enum) input.append(element("option", { value: JSON.stringify(value), textContent: String(value) }));
  input.addEventListener("change", changed);
  return {
    input,
    read: () => (input.value ? JSON.parse(input.value) : undefined),
    write: (value) => {
      const text = value === undefined ? "" : JSON.stringify(value);
      if (![...input.options].some((option) => option.value === text)) input.append(element("option", { value: text, textContent: text }));
      input.value = text;
    },
  };
}

function flag(schema, _, changed) {
  const input = element("input", { type: "checkbox" });
  input.addEventListener("change", changed);
  return { input, read: () => (input.checked ? true : undefined), write: (value) => (input.checked = value === true) };
}

function number(schema, _, changed) {
  const input = element("input", { type: "number", step: "any", placeholder: schema.default ?? "auto" });
  if (schema.type === "integer") input.step = "1";
  if ("minimum" in schema) input.min = schema.minimum;
  if ("maximum" in schema) input.max = schema.maximum;
  const read = () => (input.value === "" ? undefined : numberOf(input.value));
  input.addEventListener("input", changed);
  const write = (value) => (input.value = value ?? "");
  return { input, read, write };
}

// A slider and a number field that stay in step.
function slider(schema, parameter, changed) {
  const exact = number(schema, parameter, changed);
  const span = schema.maximum - schema.minimum;
  const step = schema.type === "integer" || span > 100 ? 1 : span > 2 ? 0.1 : 0.01;
  const slide = element("input", { type: "range", min: schema.minimum, max: schema.maximum, step, value: schema.default, tabIndex: -1 });
  slide.setAttribute("aria-hidden", "true"); // keyboards and screen readers use the number field
  const sync = () => (slide.value = exact.read() ?? schema.default);
  slide.addEventListener("input", () => {
    exact.input.value = slide.value;
    exact.input.dispatchEvent(new Event("input", { bubbles: true }));
  });
  exact.input.addEventListener("input", sync);
  return {
    ...exact,
    body: element("div", { className: "both" }, slide, exact.input),
    write: (value) => {
      exact.write(value);
      sync();
    },
  };
}

function line(schema, { name }, changed) {
  const input = element("input", { type: "text", spellcheck: false, placeholder: EXAMPLES[name] ?? "" });
  input.addEventListener("input", changed);
  return { input, read: () => input.value || undefined, write: (value) => (input.value = value ?? "") };
}

function area(schema, { name }, changed, count) {
  const input = element("textarea", { rows: name.endsWith("lyrics") ? 7 : 3, placeholder: EXAMPLES[name] ?? "" });
  const showCount = () => (count.textContent = input.value ? `${input.value.length} / ${schema.maxLength}` : "");
  input.addEventListener("input", () => {
    showCount();
    changed();
  });
  return {
    input,
    read: () => input.value || undefined,
    write: (value) => {
      input.value = value ?? "";
      showCount();
    },
  };
}

// An object as JSON, or a name that stands for one.
function structure(schema, { name }, changed) {
  const input = element("textarea", { rows: 4, spellcheck: false, placeholder: EXAMPLES[name] ?? "{ }" });
  input.addEventListener("input", changed);
  const read = () => {
    const text = input.value.trim();
    try {
      return text ? JSON.parse(text) : undefined;
    } catch {
      return text;
    }
  };
  const write = (value) => {
    if (JSON.stringify(value) !== JSON.stringify(read())) input.value = value === undefined ? "" : typeof value === "string" ? value : JSON.stringify(value, null, 2);
  };
  return { input, read, write };
}

const EXAMPLES = {
  positivePrompt: "Warm acoustic folk, fingerpicked guitar, soft female voice, intimate, 92 BPM",
  negativePrompt: "muddy low end, harsh clipping",
  "settings.lyrics": "[Verse]\nMorning leans against the window\n\n[Chorus]\n…",
  "settings.keyScale": "C major",
  "inputs.audio": "URL, or UUID of an upload or a result",
  webhookURL: "https://",
  uploadEndpoint: "https://",
};

const numeric = (schema) => schema.type === "number" || schema.type === "integer";
const KINDS = [
  { fits: (schema) => schema.structured, create: structure, wide: true, code: true },
  { fits: (schema) => Array.isArray(schema.enum), create: choice },
  { fits: (schema) => schema.type === "boolean", create: flag },
  { fits: (schema) => numeric(schema) && "default" in schema && "maximum" in schema && (schema.type === "number" || schema.maximum > 10), create: slider },
  { fits: numeric, create: number },
  { fits: (schema) => schema.maxLength >= LONG && !schema.format && !schema.anyOf, create: area, wide: true },
  { fits: () => true, create: line },
];
