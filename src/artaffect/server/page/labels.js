// Names and colours: of labels, cultures and languages, in the language of the interface.

import { element } from "./dom.js";
import { language, languageName, t } from "./language.js";
import { model } from "./service.js";

export const CODES = { arabic: "ar", chinese: "zh", english: "en", spanish: "es", french: "fr", german: "de", hindi: "hi", urdu: "ur" };

const capitalized = (text) => text.charAt(0).toUpperCase() + text.slice(1);
const info = (label) => model.emotions.find(({ name }) => name === label);

export function labelName(label) {
  return info(label)?.names[languageName()] ?? label;
}

/** As the first word of a line. */
export const labelTitle = (label) => capitalized(labelName(label));

/** Let an element have the colour of a label; the style sheet picks it for light and dark. */
export function colour(node, label) {
  const { light, dark } = info(label)?.colour ?? { light: "#777777", dark: "#aeaeae" };
  node.style.setProperty("--label-light", light);
  node.style.setProperty("--label-dark", dark);
  node.classList.add("coloured");
  return node;
}

/** The name of a label, underlined in its colour. */
export function labelWord(label) {
  return colour(element("strong", { className: "label-word" }, labelName(label)), label);
}

/** The names of a label in the other languages, each marked with its language. */
export function translations(label) {
  return Object.entries(info(label).names)
    .filter(([name]) => name !== languageName())
    .map(([name, text]) => element("small", { lang: CODES[name] ?? "", dir: "auto" }, text));
}

/** The name of a culture; it is that of a language. */
export function cultureName(culture) {
  if (culture === "any") return t("allViewers");
  const code = CODES[culture];
  return capitalized(code ? new Intl.DisplayNames([language], { type: "language" }).of(code) : culture);
}

export const viewers = (culture) => (culture === "any" ? t("allViewers") : t("viewers", { culture: cultureName(culture) }));

export function list(names, type = "conjunction") {
  return new Intl.ListFormat(language === "en" ? "en-GB" : language, { type }).format(names);
}

/** A list of labels, each in its colour, such as “fear or awe”. */
export function labelList(labels) {
  const format = new Intl.ListFormat(language === "en" ? "en-GB" : language, { type: "disjunction" });
  const names = labels.map((_, index) => String(index));
  return format.formatToParts(names).map(({ type, value }) => (type === "element" ? labelWord(labels[value]) : value));
}

export const percent = (share) => new Intl.NumberFormat(language, { style: "percent", maximumFractionDigits: share > 0 && share < 0.0995 ? 1 : 0 }).format(share);

export { capitalized };
