// The language of the interface, and the texts of the page in it.

import { MESSAGES } from "./messages.js";

const NAMES = { en: "english", ar: "arabic", zh: "chinese" };

/** The language of the interface: chosen by hand, else by the browser, else English. */
function chosenLanguage() {
  let saved = null;
  try {
    saved = localStorage.getItem("artaffect.language");
  } catch { /* storage is switched off */ }
  const wanted = [saved, ...navigator.languages].filter(Boolean).map((tag) => tag.slice(0, 2));
  return wanted.find((tag) => tag in MESSAGES) ?? "en";
}

export let language = chosenLanguage();

/** The name by which label sets know the language of the interface. */
export const languageName = () => NAMES[language];

export function chooseLanguage(tag) {
  language = tag;
  try {
    localStorage.setItem("artaffect.language", tag);
  } catch { /* storage is switched off */ }
}

/** A text, with values in place of the names in braces. */
export function t(key, values = {}) {
  return MESSAGES[language][key].replace(/\{(\w+)\}/g, (_, name) => values[name]);
}

/** The same as nodes, so that a value may be an element, or several. */
export function rich(key, values) {
  return MESSAGES[language][key].split(/(\{\w+\})/).filter(Boolean)
    .flatMap((part) => (part.startsWith("{") ? values[part.slice(1, -1)] : part));
}

/** Fill the texts of the document: `data-t` for content, `data-t-NAME` for the attribute NAME. */
export function translateDocument() {
  document.documentElement.lang = language;
  document.documentElement.dir = language === "ar" ? "rtl" : "ltr";
  document.title = t("pageTitle");
  for (const node of document.querySelectorAll("[data-t]")) node.textContent = t(node.dataset.t);
  for (const attribute of ["aria-label", "placeholder"]) {
    for (const node of document.querySelectorAll(`[data-t-${attribute}]`)) {
      node.setAttribute(attribute, t(node.getAttribute(`data-t-${attribute}`)));
    }
  }
}
