/** The widgets' texts in the language of the interface. */

const words = {};

/** Add the texts of a language; texts it lacks keep the language added before. */
export function learn(texts) {
  Object.assign(words, texts);
}

/** The text of a key, with each {name} replaced by its value. */
export function t(key, values = {}) {
  const text = words[key] ?? key;
  return text.replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "");
}
