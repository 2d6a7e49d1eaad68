// The answer: one sentence, a card for each culture, and a chart in which cultures are compared.

import { agreement } from "./agreement.js";
import { byId, element } from "./dom.js";
import { colour, cultureName, labelList, labelTitle, labelWord, list, percent, translations, viewers } from "./labels.js";
import { rich, t } from "./language.js";

const NAMED_AT_MOST = 4; // cultures that a sentence names; more are counted

function who(cultures) {
  if (cultures.length > NAMED_AT_MOST) return t("culturesCount", { count: cultures.length });
  if (cultures.length === 1) return viewers(cultures[0]);
  return t("manyViewers", { cultures: list(cultures.map(cultureName)) });
}

/** Nodes of a sentence that says where cultures agree and where they part. */
export function headline(predictions) {
  const { groups } = agreement(predictions);
  const [first, ...rest] = groups.map(({ labels, cultures }) => ({ labels: labelList(labels), who: who(cultures), count: cultures.length }));
  if (predictions.length === 1) return rich("feel", first);
  if (!rest.length) {
    const key = predictions.length > NAMED_AT_MOST ? "agreeAll" : "agree";
    return rich(key, first);
  }
  const others = rest.flatMap((group) => [t("groupJoin"), ...rich("feelRest", group)]);
  return [...rich("feelFirst", first), ...others, t("sentenceEnd")];
}

/** Nodes of a second sentence: over which label cultures differ most; none for a single culture. */
export function gapSentence(predictions) {
  if (predictions.length < 2) return [];
  const { widest } = agreement(predictions);
  if (!widest) return [t("noGap")];
  const [highCulture, high] = widest.high;
  const [lowCulture, low] = widest.low;
  return rich("gap", {
    label: labelWord(widest.label), high: percent(high), low: percent(low),
    highCulture: cultureName(highCulture), lowCulture: cultureName(lowCulture),
  });
}

/** The emotions that cannot be ruled out, such as "contentment or awe, 90%". */
function predictionSet({ prediction_set: set }) {
  if (!set) return [];
  return [element("p", { className: "set" }, ...rich("set", { labels: labelList(set.labels), level: percent(set.level) }))];
}

function modalityShares({ modality_shares: shares }) {
  const used = Object.values(shares).filter((share) => share > 0);
  if (used.length < 2) return [];
  return [element("p", { className: "small" }, t("shares", { image: percent(shares.image), caption: percent(shares.caption) }))];
}

function card(prediction) {
  const { culture, top, probabilities } = prediction;
  return colour(element("article", {},
    element("h3", {}, viewers(culture)),
    element("p", { className: "top-emotion" }, labelTitle(top), " ", element("span", { className: "share" }, percent(probabilities[top]))),
    ...predictionSet(prediction),
    ...modalityShares(prediction)), top);
}

/** Labels with the most likely one first, taking all cultures together. */
export function ranked(predictions) {
  const total = (label) => predictions.reduce((sum, { probabilities }) => sum + probabilities[label], 0);
  return Object.keys(predictions[0].probabilities).sort((a, b) => total(b) - total(a));
}

export function bar(label, share, className = "bar") {
  const node = colour(element("span", { className }), label);
  node.style.inlineSize = `${100 * share}%`;
  return node;
}

function cell(prediction, label) {
  const share = prediction.probabilities[label];
  const isTop = prediction.top === label;
  const value = element("span", { className: "value" }, percent(share));
  if (isTop) value.append(element("span", { className: "visually-hidden" }, t("mostLikely")));
  return element("td", { className: isTop ? "top" : "" }, value, element("span", { className: "track" }, bar(label, share)));
}

function showChart(predictions) {
  const table = byId("emotions");
  table.tHead.replaceChildren(element("tr", {}, element("th", { scope: "col" }, t("emotion")),
    ...predictions.map(({ culture }) => element("th", { scope: "col" }, cultureName(culture)))));
  table.tBodies[0].replaceChildren(...ranked(predictions).map((label) => element("tr", {},
    element("th", { scope: "row" }, labelTitle(label), element("span", { className: "others" }, ...translations(label))),
    ...predictions.map((prediction) => cell(prediction, label)))));
}

const NOTES = { unfamiliar: "noteUnfamiliar", language: "noteLanguage", culture: "noteCulture", truncated: "noteTruncated", frames: "noteFrames", "no-words": "noteNoWords" };
const IN_BANNER = ["synthetic", "caveat"];

/** Notes in the language of the interface; what the page has no words for stays as the model says it. */
export function showNotes({ predictions, language }) {
  const notes = new Map();
  for (const { culture, notes: own = [] } of predictions) {
    for (const { kind, text } of own.filter((note) => !IN_BANNER.includes(note.kind))) {
      const values = { language: language ?? "", culture: cultureName(culture) };
      const words = culture === "any" && kind === "culture" ? null : NOTES[kind] && t(NOTES[kind], values);
      notes.set(words ?? text, element("li", words ? {} : { lang: "en", dir: "ltr" }, words ?? text));
    }
  }
  byId("notes").replaceChildren(...notes.values());
  byId("notes-field").hidden = !notes.size;
}

export function showAnswer(answer) {
  const { predictions, caption } = answer;
  byId("headline").replaceChildren(...headline(predictions));
  byId("gap").replaceChildren(...gapSentence(predictions));
  byId("summary").replaceChildren(...predictions.map(card));
  byId("summary").hidden = predictions.length > 8;
  showChart(predictions);
  byId("set-hint").hidden = !predictions.some(({ prediction_set: set }) => set);
  showNotes(answer);
  byId("question-text").textContent = caption ?? "";
  byId("question-text").hidden = !caption?.trim();
  byId("result").hidden = false;
}
