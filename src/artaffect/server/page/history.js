// The questions of this browser, kept in it alone.

import { byId, element } from "./dom.js";
import { cultureName, colour, labelTitle } from "./labels.js";
import { language, t } from "./language.js";
import { model } from "./service.js";

const KEY = "artaffect.history";
const KEPT = 24;

export function questions() {
  try {
    return JSON.parse(localStorage.getItem(KEY) ?? "[]").filter((entry) => entry.model === model?.name);
  } catch {
    return [];
  }
}

/** Remember an answer; when the browser has no room, the oldest go. */
export function remember(answer) {
  let entries = [{ ...answer, model: model.name }, ...questions()].slice(0, KEPT);
  while (entries.length) {
    try {
      localStorage.setItem(KEY, JSON.stringify(entries));
      break;
    } catch {
      entries = entries.slice(0, -1);
    }
  }
  showHistory();
}

let opened = () => {};

function card(entry) {
  const picture = entry.thumb ? element("img", { src: entry.thumb, alt: "" }) : element("span", { className: "no-image", dir: "auto" }, entry.caption.slice(0, 60));
  const tops = entry.predictions.slice(0, 4).map(({ culture, top }) => colour(element("span", { className: "tag" }, `${cultureName(culture)}: ${labelTitle(top)}`), top));
  const button = element("button", { type: "button" }, picture, element("span", { className: "title", dir: "auto" }, entry.name || entry.caption.slice(0, 40) || t("untitled")), ...tops);
  button.addEventListener("click", () => opened(entry));
  return element("li", {}, button);
}

export function showHistory() {
  const entries = questions();
  byId("history-list").replaceChildren(...entries.map(card));
  byId("history-empty").hidden = entries.length > 0;
  byId("clear").hidden = !entries.length;
}

/** The time of a question, as people write it. */
export const timeOf = ({ time }) => new Date(time).toLocaleString(language, { dateStyle: "medium", timeStyle: "short" });

/** Show the history; `open` is called with the entry that is chosen. */
export function offerHistory(open) {
  opened = open;
  byId("clear").addEventListener("click", () => {
    localStorage.removeItem(KEY);
    showHistory();
    byId("history-title").focus();
  });
}
