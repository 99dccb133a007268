// The parameters of a task out of the server's OpenAPI description, so that ranges and words come from one place.

// Groups of the form. A parameter that stands in none of them appears in the last one.
export const GROUPS = [
  { title: "Song", open: true, names: ["positivePrompt", "settings.lyrics", "settings.vocalLanguage", "duration", "settings.bpm", "settings.keyScale", "settings.timeSignature"] },
  { title: "Source", names: ["inputs.audio", "settings.repaintingStart", "settings.repaintingEnd", "strength"] },
  { title: "Sampling", open: true, names: ["steps", "seed", "numberResults"] },
  { title: "Guidance", names: ["CFGScale", "negativePrompt", "settings.guidanceType", "settings.cfgIntervalStart", "settings.cfgIntervalEnd"] },
  { title: "Sound file", names: ["outputFormat", "audioSettings.bitrate", "audioSettings.channels", "audioSettings.sampleRate"] },
  { title: "Delivery", names: ["deliveryMethod", "outputType", "ttl", "includeCost", "webhookURL", "uploadEndpoint"] },
  { title: "More", names: ["advancedFeatures.modularScheduler"] },
];
// Filled in by the page.
export const HIDDEN = ["taskType", "taskUUID", "model"];

// All parameters of audioInference: [{name, schema, required}], names dotted.
export function parameters(document) {
  const schemas = document.components.schemas;
  const follow = (schema) => (schema.$ref ? schemas[schema.$ref.split("/").pop()] : schema);
  const found = [];
  const walk = (schema, prefix) => {
    for (const [key, entry] of Object.entries(schema.properties)) {
      const inner = follow(entry);
      if (inner.type === "object" && inner.properties && !entry.$ref) walk(inner, `${prefix}${key}.`);
      else found.push({ name: prefix + key, schema: { ...inner, ...entry, structured: Boolean(entry.$ref) }, required: (schema.required ?? []).includes(key) });
    }
  };
  walk(schemas.AudioInference, "");
  return found;
}

export function constants(list) {
  return Object.fromEntries(list.filter((one) => "const" in one.schema).map((one) => [one.name, one.schema.const]));
}

export function grouped(list) {
  const left = new Map(list.filter((one) => !HIDDEN.includes(one.name)).map((one) => [one.name, one]));
  const groups = GROUPS.map(({ title, open, names }) => {
    const members = names.filter((name) => left.has(name)).map((name) => left.get(name));
    members.forEach((one) => left.delete(one.name));
    return { title, open, members };
  });
  groups.at(-1).members.push(...left.values());
  return groups.filter((group) => group.members.length);
}

export function getPath(task, name) {
  return name.split(".").reduce((place, key) => (place !== null && typeof place === "object" ? place[key] : undefined), task);
}

// Sets a value, or with undefined removes it and the objects it leaves empty.
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

// "settings.cfgIntervalStart" -> "CFG interval start"
export function label(name) {
  const words = name.split(".").pop().replace(/([a-z])([A-Z])/g, "$1 $2").replace(/([A-Z]+)([A-Z][a-z])/g, "$1 $2").split(" ");
  const lower = words.map((word) => (/^(cfg|url|bpm|ttl)$/i.test(word) ? word.toUpperCase() : word.toLowerCase()));
  return lower[0][0].toUpperCase() + lower[0].slice(1) + (lower.length > 1 ? ` ${lower.slice(1).join(" ")}` : "");
}
