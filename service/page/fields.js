// One control for each parameter. A control that was never touched stays out of the task.

import { make } from "./api.js";
import { label } from "./schema.js";

const LONG = 1000; // characters from which a text gets an area of its own

// {element, input, read(), write(value)} for a parameter; changed() is called after each change by a person.
export function field({ name, schema, required }, changed) {
  const id = `f-${name.replaceAll(".", "-")}`;
  const help = make("p", { className: "help", id: `${id}-help`, textContent: schema.description ?? "" });
  const problem = make("p", { className: "problem", id: `${id}-problem`, hidden: true });
  const count = make("span", { className: "count" });
  const kind = KINDS.find((one) => one.fits(schema));
  const made = kind.make(schema, { id, name, required }, changed, count);
  const input = made.input;
  input.id = id;
  input.name = name;
  input.setAttribute("aria-describedby", `${help.id} ${problem.id}`);
  if (required) input.required = true;
  const title = make("label", { htmlFor: id, textContent: label(name), title: name });
  const head = make("div", { className: "name" }, title, count);
  const element = make("div", { className: `field${kind.wide ? " wide" : ""}${kind.code ? " code" : ""}` }, head, made.body ?? input, help, problem);
  element.dataset.name = name;
  const mark = () => element.classList.toggle("absent", made.read() === undefined);
  input.addEventListener("input", mark);
  return {
    name,
    element,
    input,
    read: made.read,
    write(value) {
      made.write(value);
      mark();
    },
    blame(message) {
      problem.textContent = message;
      problem.hidden = !message;
      if (message) input.setAttribute("aria-invalid", "true");
      else input.removeAttribute("aria-invalid");
    },
  };
}

function numberOf(text) {
  const number = Number(text);
  return Number.isFinite(number) ? number : text; // what is no number goes to the server as it is, which says so
}

function choice(schema, { required }, changed) {
  const input = make("select");
  const absent = "default" in schema ? `${schema.default} (default)` : "not set";
  if (!required) input.append(make("option", { value: "", textContent: absent }));
  for (const value of schema.enum) input.append(make("option", { value: JSON.stringify(value), textContent: String(value) }));
  input.addEventListener("change", changed);
  return {
    input,
    read: () => (input.value ? JSON.parse(input.value) : undefined),
    write: (value) => {
      const text = value === undefined ? "" : JSON.stringify(value);
      if (![...input.options].some((option) => option.value === text)) input.append(make("option", { value: text, textContent: text }));
      input.value = text;
    },
  };
}

function flag(schema, _, changed) {
  const input = make("input", { type: "checkbox" });
  input.addEventListener("change", changed);
  return { input, read: () => (input.checked ? true : undefined), write: (value) => (input.checked = value === true) };
}

function number(schema, _, changed) {
  const input = make("input", { type: "number", step: "any", placeholder: schema.default ?? "auto" });
  if (schema.type === "integer") input.step = "1";
  if ("minimum" in schema) input.min = schema.minimum;
  if ("maximum" in schema) input.max = schema.maximum;
  const read = () => (input.value === "" ? undefined : numberOf(input.value));
  input.addEventListener("input", changed);
  const write = (value) => (input.value = value ?? "");
  return { input, read, write };
}

// A slider and a number that follow one another.
function slider(schema, more, changed, count) {
  const exact = number(schema, more, changed);
  const span = schema.maximum - schema.minimum;
  const step = schema.type === "integer" || span > 100 ? 1 : span > 2 ? 0.1 : 0.01;
  const slide = make("input", { type: "range", min: schema.minimum, max: schema.maximum, step, value: schema.default, tabIndex: -1 });
  slide.setAttribute("aria-hidden", "true"); // the number beside it is the one control for keyboard and screen reader
  const follow = () => (slide.value = exact.read() ?? schema.default);
  slide.addEventListener("input", () => {
    exact.input.value = slide.value;
    exact.input.dispatchEvent(new Event("input", { bubbles: true }));
  });
  exact.input.addEventListener("input", follow);
  return {
    ...exact,
    body: make("div", { className: "both" }, slide, exact.input),
    write: (value) => {
      exact.write(value);
      follow();
    },
  };
}

function line(schema, { name }, changed) {
  const input = make("input", { type: "text", spellcheck: false, placeholder: EXAMPLES[name] ?? "" });
  input.addEventListener("input", changed);
  return { input, read: () => input.value || undefined, write: (value) => (input.value = value ?? "") };
}

function area(schema, { name }, changed, count) {
  const input = make("textarea", { rows: name.endsWith("lyrics") ? 7 : 3, placeholder: EXAMPLES[name] ?? "" });
  const tell = () => (count.textContent = input.value ? `${input.value.length} / ${schema.maxLength}` : "");
  input.addEventListener("input", () => {
    tell();
    changed();
  });
  return {
    input,
    read: () => input.value || undefined,
    write: (value) => {
      input.value = value ?? "";
      tell();
    },
  };
}

// An object, or one of its short names, written as text.
function structure(schema, { name }, changed) {
  const input = make("textarea", { rows: 4, spellcheck: false, placeholder: EXAMPLES[name] ?? "{ }" });
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
  "inputs.audio": "address, or UUID of an upload or a result",
  webhookURL: "https://",
  uploadEndpoint: "https://",
};

const numeric = (schema) => schema.type === "number" || schema.type === "integer";
const KINDS = [
  { fits: (schema) => schema.structured, make: structure, wide: true, code: true },
  { fits: (schema) => Array.isArray(schema.enum), make: choice },
  { fits: (schema) => schema.type === "boolean", make: flag },
  { fits: (schema) => numeric(schema) && "default" in schema && "maximum" in schema && (schema.type === "number" || schema.maximum > 10), make: slider },
  { fits: numeric, make: number },
  { fits: (schema) => schema.maxLength >= LONG && !schema.format && !schema.anyOf, make: area, wide: true },
  { fits: () => true, make: line },
];
