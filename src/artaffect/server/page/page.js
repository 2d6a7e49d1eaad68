// The page: from a question to its answer, and to the reasons when they are ready.

import { showAnswer } from "./answer.js";
import { compareWith, pin, title } from "./comparison.js";
import { byId, element, settled, showError } from "./dom.js";
import { showExamples } from "./examples.js";
import { hideVerdicts, showExplanations, showTesting, showVerdicts } from "./explanation.js";
import { offerHistory, remember, showHistory, timeOf } from "./history.js";
import { chosen, listenForImages, setImage } from "./intake.js";
import { capitalized, CODES, cultureName } from "./labels.js";
import { chooseLanguage, language, t, translateDocument } from "./language.js";
import { thumbnail } from "./scale.js";
import { loadModel, model, predict } from "./service.js";
import { showSeveral } from "./several.js";
import { offerTakeAway } from "./takeaway.js";

const RESULTS = ["result", "explanation", "comparison"];
let pending = null; // AbortController of the current request
let tabulating = null; // AbortController of the table
let answer = null; // what is shown
let explained = null; // its reasons, and what their test found
let checked = null;

// ---- the question ----

const captionLanguage = () => byId("language").value.trim().toLowerCase();
const cultures = () => [...document.querySelectorAll("#cultures input:checked")].map((box) => box.value);

/** Drop the answer on the page and the request for one: they belong to an earlier question. */
function forgetAnswer() {
  pending?.abort();
  [pending, answer, explained, checked] = [null, null, null, null];
  for (const id of RESULTS) byId(id).hidden = true;
  byId("status").textContent = "";
  byId("submit").disabled = false;
  showError(null);
}

/** What is missing in the question, in words; null if nothing is. */
function missing(question) {
  const [sees, reads] = ["image", "caption"].map((name) => model.modalities.includes(name));
  if (!(sees && question.image) && !(reads && question.caption?.trim())) {
    if (sees && reads) return t("needInput");
    return t(sees ? "needImage" : "needCaption");
  }
  return question.cultures.length ? null : t("needCulture");
}

async function ready() {
  if (!model) await start();
  return Boolean(model);
}

async function submit() {
  forgetAnswer();
  const current = new AbortController();
  pending = current;
  const { signal } = current;
  await chosen.ready;
  if (signal.aborted || !await ready() || signal.aborted) return;
  const question = { image: chosen.image, name: chosen.name, caption: byId("caption").value, language: captionLanguage(), cultures: cultures() };
  const problem = missing(question);
  if (problem) {
    showError(new Error(problem));
    (byId("image-field").hidden ? byId("caption") : byId("image")).focus();
    return;
  }
  byId("submit").disabled = true;
  byId("status").textContent = t("asking");
  try {
    await ask(question, signal);
  } catch (error) {
    if (signal.aborted) return;
    byId("status").textContent = "";
    byId("submit").disabled = false;
    showError(error);
  }
}

async function ask(question, signal) {
  const predictions = await predict(question, signal);
  await settled(byId("preview"));
  if (signal.aborted) return;
  const { image, ...kept } = question;
  answer = { ...kept, predictions, time: new Date().toISOString(), thumb: image ? thumbnail(byId("preview")) : null };
  byId("from-history").hidden = true;
  showWork(image ? byId("preview").src : "");
  showAnswer(answer);
  compareWith(answer);
  remember(answer);
  byId("result").scrollIntoView();
  byId("submit").disabled = false;
  byId("status").textContent = t(model.explains ? "explaining" : "answered");
  if (model.explains) await explain(question, signal);
}

async function explain(question, signal) {
  const few = { ...question, cultures: question.cultures.slice(0, model.limits.explained_cultures) };
  explained = await predict(few, signal, "explain");
  if (signal.aborted) return;
  showExplanations(explained, question.language);
  byId("status").textContent = t("answeredExplained");
  showTesting();
  try {
    checked = await predict(few, signal, "check");
    if (!signal.aborted) showVerdicts(checked);
  } catch (error) {
    if (!signal.aborted) hideVerdicts(); // the answer and its reasons stand without the test
  }
}

/** The image of the answer beside it. */
function showWork(address) {
  const shown = byId("shown");
  shown.hidden = !address;
  shown.alt = address ? t("yourImage", { name: title(answer) }) : "";
  if (address) shown.src = address;
  else shown.removeAttribute("src");
}

async function askSeveral(files) {
  forgetAnswer();
  tabulating?.abort();
  tabulating = new AbortController();
  const { signal } = tabulating;
  if (!await ready()) return;
  const question = { cultures: cultures(), caption: "", language: "" };
  if (!question.cultures.length) {
    showError(new Error(t("needCulture")));
    return;
  }
  const note = await showSeveral(files, question, signal, (file) => {
    setImage(file, file.name);
    submit();
  });
  if (note) showError(new Error(note));
}

function openFromHistory(entry) {
  byId("caption").value = entry.caption ?? "";
  byId("language").value = entry.language ?? "";
  setImage(null);
  answer = entry;
  byId("from-history").textContent = t("fromHistory", { time: timeOf(entry) });
  byId("from-history").hidden = false;
  showWork(entry.thumb ?? "");
  showAnswer(entry);
  compareWith(entry);
  byId("result").scrollIntoView();
}

async function tryExample({ title: name, caption, language: of }, image) {
  if (image) setImage(image, capitalized(name));
  byId("caption").value = caption;
  byId("language").value = of;
  byId("language").dispatchEvent(new Event("input"));
  await submit();
}

// ---- the interface ----

function showModel() {
  const [sees, reads] = ["image", "caption"].map((name) => model.modalities.includes(name));
  byId("image-field").hidden = !sees;
  byId("caption-field").hidden = !reads;
  byId("artwork").classList.toggle("single", !(sees && reads));
  byId("title").textContent = t(sees ? "title" : "titleCaption");
  byId("lead").textContent = t(sees && reads ? "lead" : sees ? "leadImage" : "leadCaption");
  byId("caption-only").hidden = sees;
  byId("synthetic").hidden = !model.synthetic;
  byId("caveat").hidden = !model.caveat;
  byId("caveat").textContent = `${capitalized(model.caveat)}.`;
  byId("culture-field").hidden = !model.cultures.length;
  byId("model").textContent = [t("model", { name: model.name, engine: model.engine }), model.explains ? "" : t("noExplanations")].join(" ");
  const checkedBefore = new Set(cultures());
  const few = model.cultures.length <= 8;
  const names = model.cultures.length ? model.cultures : ["any"];
  byId("cultures").replaceChildren(...names.map((name, index) => {
    const isChecked = checkedBefore.size ? checkedBefore.has(name) : few || index < 3;
    return element("label", {}, element("input", { type: "checkbox", value: name, checked: isChecked }), ` ${cultureName(name)}`);
  }));
  const languages = new Set([...model.languages, ...Object.keys(CODES)]);
  byId("languages").replaceChildren(...[...languages].map((value) => element("option", { value }, cultureName(value))));
}

/** All texts again, in another language; the question and its answer stay. */
function translate() {
  translateDocument();
  byId("interface").value = language;
  byId("image-name").textContent = chosen.image ? chosen.name : t("noImage");
  if (!model) return;
  showModel();
  showHistory();
  showExamples(tryExample, showError).catch(showError);
  if (answer) showAnswer(answer);
  if (answer && explained) {
    showExplanations(explained, answer.language);
    if (checked) showVerdicts(checked);
  }
}

async function start() {
  try {
    await loadModel();
  } catch (error) {
    showError(error);
    return;
  }
  showError(null);
  byId("key-field").hidden = true;
  showModel();
  showHistory();
}

for (const id of ["caption", "language", "cultures"]) byId(id).addEventListener("input", forgetAnswer);
byId("language").addEventListener("input", () => {
  const code = CODES[captionLanguage()];
  if (code) byId("caption").lang = code;
  else byId("caption").removeAttribute("lang");
});
byId("caption").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) byId("artwork").requestSubmit();
});
byId("artwork").addEventListener("submit", async (event) => {
  event.preventDefault();
  if (!byId("key-field").hidden) sessionStorage.setItem("key", byId("key").value);
  await submit();
});
byId("interface").addEventListener("change", (event) => {
  chooseLanguage(event.target.value);
  translate();
});
byId("compare").addEventListener("click", () => {
  pin(answer);
  setImage(null);
  for (const id of ["caption", "language"]) byId(id).value = "";
  byId("artwork").scrollIntoView();
  (byId("image-field").hidden ? byId("caption") : byId("image")).focus();
});
byId("stop-comparing").addEventListener("click", () => pin(null));
offerHistory(openFromHistory);
offerTakeAway(() => answer);
listenForImages({ changed: forgetAnswer, several: askSeveral });

translateDocument();
byId("interface").value = language;
await start();
await showExamples(tryExample, showError).catch(showError);
