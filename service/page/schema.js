// The parameters of a task from the server's OpenAPI description, the only source of ranges and texts.

// The groups of the form. A parameter that none of them lists goes to the last one.
export const GROUPS = [
  { title: "Song", open: true, names: ["positivePrompt", "settings.lyrics", "settings.vocalLanguage", "duration", "settings.bpm", "settings.keyScale", "settings.timeSignature"] },
  { title: "Source", names: ["inputs.audio", "settings.repaintingStart", "settings.repaintingEnd", "strength"] },
  { title: "Sampling", open: true, names: ["steps", "seed", "numberResults"] },
  { title: "Guidance", names: ["CFGScale", "negativePrompt", "settings.guidanceType", "settings.cfgIntervalStart", "settings.cfgIntervalEnd"] },
  { title: "Audio file", names: ["outputFormat", "audioSettings.bitrate", "audioSettings.channels", "audioSettings.sampleRate"] },
  { title: "Delivery", names: ["deliveryMethod", "outputType", "ttl", "includeCost", "webhookURL", "uploadEndpoint"] },
  { title: "Advanced", names: ["advancedFeatures.modularScheduler"] },
];
// Set by the page itself.
export const HIDDEN = ["taskType", "taskUUID", "model"];

// The parameters of audioInference: [{name, schema, required}] with dotted names.
export function parameters(document) {
  const schemas = document.components.schemas;
  const resolve = (schema) => (schema.$ref ? schemas[schema.$ref.split("/").pop()] : schema);
  const list = [];
  const walk = (schema, prefix) => {
    for (const [key, entry] of Object.entries(schema.properties)) {
      const inner = resolve(entry);
      if (inner.type === "object" && inner.properties && !entry.$ref) walk(inner, `${prefix}${key}.`);
      else list.push({ name: prefix + key, schema: { ...inner, ...entry, structured: Boolean(entry.$ref) }, required: (schema.required ?? []).includes(key) });
    }
  };
  walk(schemas.AudioInference, "");
  return list;
}

// The values of parameters that have only one.
export function constants(list) {
  return Object.fromEntries(list.filter((one) => "const" in one.schema).map((one) => [one.name, one.schema.const]));
}

// The parameters by the groups of the form: [{title, open, members}].
export function grouped(list) {
  const remaining = new Map(list.filter((one) => !HIDDEN.includes(one.name)).map((one) => [one.name, one]));
  const groups = GROUPS.map(({ title, open, names }) => {
    const members = names.filter((name) => remaining.has(name)).map((name) => remaining.get(name));
    members.forEach((one) => remaining.delete(one.name));
    return { title, open, members };
  });
  groups.at(-1).members.push(...remaining.values());
  return groups.filter((group) => group.members.length);
}

export function getPath(task, name) {
  return name.split(".").reduce((value, key) => (value !== null && typeof value === "object" ? value[key] : undefined), task);
}

// Sets a value; undefined removes it and any object left empty.
export function setPath(task, name, value) {
  const [key, ...rest] = name.split(".");
  if (!rest.length) {
    if (value === undefined) delete task[key];
    else task[key] = value;
    return;
  }
  const inner = task[key] !== null && typeof task[key] === "object" ? task[key] : {};
  setPath(inner, rest.join("."), value);
  if (Object.keys(inner).length) task[key] = inner;
  else delete task[key];
}

// An error's message with the labels of the form in place of the parameters' names. A name that is also an English word
// is replaced only where the error is about it.
export function labelled(error, names) {
  const own = [error.parameter ?? []].flat();
  const known = names.filter((name) => /[.A-Z]/.test(name) || own.includes(name)).sort((one, other) => other.length - one.length);
  if (!known.length) return error.message;
  const pattern = new RegExp(`(?<![\\w.])(?:${known.map((name) => name.replaceAll(".", "\\.")).join("|")})(?!\\w)`, "g");
  return error.message.replace(pattern, label);
}

// "settings.cfgIntervalStart" -> "CFG interval start"
export function label(name) {
  const words = name.split(".").pop().replace(/([a-z])([A-Z])/g, "$1 $2").replace(/([A-Z]+)([A-Z][a-z])/g, "$1 $2").split(" ");
  const lower = words.map((word) => (/^(cfg|url|bpm|ttl)$/i.test(word) ? word.toUpperCase() : word.toLowerCase()));
  return lower[0][0].toUpperCase() + lower[0].slice(1) + (lower.length > 1 ? ` ${lower.slice(1).join(" ")}` : "");
}
