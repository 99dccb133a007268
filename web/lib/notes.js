/** The notes and group titles of the shipped workflows, in the language of the interface. */

const TEXTS = "acestep_xl_workflows"; // in a language's main.json: {notes, groups}
const NOTE = "acestep_xl_note"; // property of a note: the name of its workflow

let languages = []; // the texts of every language
let chosen = null; // those of the interface

/** all: ComfyUI's texts of all packs by language. language: the interface's. */
export function learnNotes(all, language) {
  languages = Object.values(all).flatMap((texts) => texts[TEXTS] ?? []);
  chosen = all[language]?.[TEXTS] ?? all.en?.[TEXTS];
}

/** Translate a shipped workflow that has been opened; what the user has rewritten stays. */
export function translateNotes(graph) {
  const notes = graph._nodes.filter((node) => node.properties?.[NOTE]);
  if (!notes.length || !chosen) return;
  for (const note of notes) {
    const name = note.properties[NOTE];
    const [widget] = note.widgets;
    if (languages.some((texts) => texts.notes[name] === widget.value)) widget.value = chosen.notes[name];
  }
  for (const group of graph._groups) group.title = translatedTitle(group.title);
}

function translatedTitle(title) {
  for (const { groups } of languages) {
    const key = Object.keys(groups).find((name) => groups[name] === title);
    if (key) return chosen.groups[key];
  }
  return title;
}
