// Two works side by side: the answer that was pinned, and the next one.

import { bar, ranked } from "./answer.js";
import { byId, element } from "./dom.js";
import { cultureName, labelName, labelTitle, labelWord, percent } from "./labels.js";
import { rich, t } from "./language.js";

let pinned = null;

export const title = ({ name, caption }) => name || caption?.trim().slice(0, 40) || t("untitled");

export function pin(answer) {
  pinned = answer;
  byId("comparing").hidden = !answer;
  if (answer) byId("comparing-text").textContent = t("comparing", { name: title(answer) });
}

function work(answer, number) {
  const name = `${number}. ${title(answer)}`;
  const picture = answer.thumb ? element("img", { src: answer.thumb, alt: "" }) : element("p", { className: "words", dir: "auto" }, answer.caption ?? "");
  return element("figure", {}, picture, element("figcaption", { dir: "auto" }, name));
}

function sentence(first, second) {
  const culture = cultureName(first.culture);
  if (first.top === second.top) return rich("comparisonSame", { culture, label: labelWord(first.top) });
  return rich("comparisonDifferent", { culture, first: labelWord(first.top), second: labelWord(second.top) });
}

function cell(first, second, label) {
  const [a, b] = [first.probabilities[label], second.probabilities[label]];
  return element("td", {},
    element("span", { className: "value" }, `${percent(a)} · ${percent(b)}`),
    element("span", { className: "track" }, bar(label, a)),
    element("span", { className: "track" }, bar(label, b, "bar hollow")));
}

/** Compare a new answer with the pinned one, over the cultures of both; then nothing is pinned. */
export function compareWith(answer) {
  byId("comparison").hidden = true;
  if (!pinned) return;
  const pairs = pinned.predictions
    .map((first) => [first, answer.predictions.find(({ culture }) => culture === first.culture)])
    .filter(([, second]) => second);
  if (pairs.length) show(pinned, answer, pairs);
  pin(null);
}

function show(first, second, pairs) {
  byId("works").replaceChildren(work(first, 1), work(second, 2));
  byId("differences").replaceChildren(...pairs.map((pair) => element("li", {}, ...sentence(...pair))));
  byId("comparison-hint").textContent = t("comparisonHint", { first: title(first), second: title(second) });
  const table = byId("compared");
  table.tHead.replaceChildren(element("tr", {}, element("th", { scope: "col" }, t("emotion")),
    ...pairs.map(([{ culture }]) => element("th", { scope: "col" }, cultureName(culture)))));
  table.tBodies[0].replaceChildren(...ranked(pairs.flat()).map((label) => element("tr", {},
    element("th", { scope: "row", title: labelName(label) }, labelTitle(label)),
    ...pairs.map((pair) => cell(...pair, label)))));
  byId("comparison").hidden = false;
}
