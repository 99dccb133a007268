/** The words that our widgets show, in the language of the interface. */

const words = {};

/** Take over words of a language; those it lacks stay as they were learned before. */
export function learn(more) {
  Object.assign(words, more);
}

/** The words of a key, with {name} replaced by the values. */
export function t(key, values = {}) {
  const text = words[key] ?? key;
  return text.replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "");
}
