// The reasons: a heat map beside the image, marked words, and whether the deletion test bears them out.

import { byId, element } from "./dom.js";
import { colour, CODES, labelName, labelTitle, viewers } from "./labels.js";
import { t } from "./language.js";

const STRONG = 1; // log-odds; the page says "strongly"
const SOME = 0.2; // below this, it says "hardly matters"

function effect(value) {
  if (Math.abs(value) < SOME) return t("neutral");
  if (value > 0) return t(value < STRONG ? "forSome" : "forStrong");
  return t(value > -STRONG ? "againstSome" : "againstStrong");
}

function cultureEffect(value) {
  if (Math.abs(value) < SOME) return t("cultureSame");
  return t(value > 0 ? "cultureMore" : "cultureLess");
}

const TALLEST = 28; // rem

function heatmap({ emotion, heatmap: address }) {
  const { naturalWidth: width, naturalHeight: height } = byId("preview");
  const figure = element("figure", { className: "wipe" },
    element("img", { src: byId("preview").src, className: "artwork", alt: t("heatAlt", { label: labelName(emotion) }) }),
    element("img", { src: address, alt: "", className: "heatmap" }),
    element("span", { className: "edge", ariaHidden: "true" }));
  if (height) figure.style.maxInlineSize = `${(TALLEST * width) / height}rem`;
  return figure;
}

/** The caption with each word marked in place. */
function markedWords(words, language) {
  const largest = Math.max(...words.map((word) => Math.abs(word.weight))) || 1;
  const line = element("p", { className: "words", dir: "auto" });
  if (language in CODES) line.lang = CODES[language];
  for (const { text, weight } of words) {
    if (!weight) {
      line.append(text);
      continue;
    }
    const mark = element("mark", { className: weight > 0 ? "for" : "against" }, text);
    mark.style.setProperty("--weight", (Math.abs(weight) / largest).toFixed(2));
    line.append(mark);
  }
  return line;
}

function verdict(kind) {
  return element("p", { className: `verdict ${kind}`, hidden: true });
}

function reasons({ words, contributions }, culture) {
  const facts = element("dl");
  const add = (name, value) => facts.append(element("dt", {}, name), element("dd", {}, value));
  if ("image" in contributions.terms) add(t("effectImage"), effect(contributions.terms.image));
  if ("caption" in contributions.terms) add(t("effectCaption"), effect(contributions.terms.caption));
  if (culture !== "any") add(t("effectCulture"), cultureEffect(contributions.culture));
  // the strongest word as text, for readers who do not see the marks
  const [strongest] = [...(words ?? [])].sort((a, b) => b.weight - a.weight);
  const sentence = strongest?.weight > 0 ? [element("p", { className: "small" }, t("strongestWord", { word: strongest.text }))] : [];
  return [...sentence, facts];
}

function article({ culture, explanation }, language) {
  const node = colour(element("article", {}, element("h3", {}, viewers(culture), " · ", labelTitle(explanation.emotion))), explanation.emotion);
  if (explanation.heatmap) node.append(heatmap(explanation), verdict("image"));
  if (explanation.words?.length) node.append(markedWords(explanation.words, language), verdict("caption"));
  node.append(...reasons(explanation, culture));
  return node;
}

export function showExplanations(predictions, language) {
  byId("explanations").replaceChildren(...predictions.map((prediction) => article(prediction, language)));
  byId("slider-field").hidden = !predictions.some(({ explanation }) => explanation.heatmap);
  byId("words-hint").hidden = !predictions.some(({ explanation }) => explanation.words?.length);
  byId("explanation").hidden = false;
  moveSlider();
}

export function showTesting() {
  for (const node of document.querySelectorAll("#explanations .verdict")) {
    node.textContent = t("testing");
    node.hidden = false;
  }
}

const VERDICTS = { image: ["mapHolds", "mapFails"], caption: ["wordsHold", "wordsFail"] };

/** Say what the deletion test found; a map that fails is shown paler. */
export function showVerdicts(predictions) {
  const articles = byId("explanations").children;
  predictions.forEach(({ explanation }, index) => {
    for (const [kind, [holds, fails]] of Object.entries(VERDICTS)) {
      const node = articles[index].querySelector(`.verdict.${kind}`);
      if (!node) continue;
      const check = explanation.checks?.[kind];
      node.hidden = !check;
      if (!check) continue;
      node.textContent = t(check.held ? holds : fails);
      node.classList.add(check.held ? "held" : "failed");
      articles[index].classList.toggle(`failed-${kind}`, !check.held);
    }
  });
}

/** Without an answer from the test, nothing is said about the map. */
export function hideVerdicts() {
  for (const node of document.querySelectorAll("#explanations .verdict")) node.hidden = true;
}

function moveSlider() {
  byId("explanations").style.setProperty("--shown", `${byId("slider").value}%`);
}

byId("slider").addEventListener("input", moveSlider);
