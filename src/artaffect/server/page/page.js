// The page predicts for one artwork at a time, and adds the explanation when it is ready.

const byId = (id) => document.getElementById(id);
const form = byId("artwork");
const LANGUAGE_CODES = { arabic: "ar", chinese: "zh", english: "en", spanish: "es", french: "fr", german: "de", hindi: "hi", urdu: "ur" };
const SET_LEVEL = 0.9; // how often the emotions named together hold the true one
const TERMS = { prior: "Typical for this culture", image: "Image", caption: "Description" };

let model = null;
let image = null; // File or Blob
let pending = null; // AbortController of the current request
let choice = 0; // the number of the example that was chosen last

/** Create an element. Strings become text nodes, never markup. */
function element(tag, properties = {}, ...children) {
  const node = Object.assign(document.createElement(tag), properties);
  node.append(...children);
  return node;
}

const percent = (share) => `${(100 * share).toFixed(share < 0.0995 ? 1 : 0)}%`;
const signed = (value) => (value < 0 ? "−" : "+") + Math.abs(value).toFixed(2);
const capitalized = (text) => text.charAt(0).toUpperCase() + text.slice(1);

/** Call the service; a problem becomes an Error with the message of the service. */
async function request(path, options = {}) {
  const key = sessionStorage.getItem("key");
  const headers = key ? { Authorization: `Bearer ${key}` } : {};
  let response;
  try {
    response = await fetch(path, { ...options, headers });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error("The service cannot be reached. Is it still running?");
  }
  if (response.ok) return response;
  const problem = await response.json().catch(() => ({}));
  if (response.status === 401) {
    byId("key-field").hidden = false;
    byId("key").focus();
  }
  throw new Error([problem.title, problem.detail].filter(Boolean).join(": ") || `The service returned status ${response.status}`);
}

function showError(error) {
  byId("problem").textContent = error ? error.message : "";
  byId("problem").hidden = !error;
}

// ---- input ----

/** Drop the answer on the page and the request for one: they belong to an earlier input. */
function forgetAnswer() {
  pending?.abort();
  pending = null;
  byId("result").hidden = true;
  byId("explanation").hidden = true;
  byId("status").textContent = "";
  byId("submit").disabled = false;
  showError(null);
}

function setImage(file, name) {
  forgetAnswer();
  image = file;
  const preview = byId("preview");
  preview.alt = file ? `Your image: ${name}` : "";
  setPreview(file);
  byId("image-name").textContent = file ? name : "No image selected";
  byId("remove").hidden = !file;
}

function setPreview(blob) {
  const preview = byId("preview");
  URL.revokeObjectURL(preview.src);
  preview.hidden = !blob;
  if (blob) preview.src = URL.createObjectURL(blob);
  else preview.removeAttribute("src");
  for (const copy of document.querySelectorAll("#explanations img.artwork")) copy.src = preview.src;
}

/** Show a format that the browser does not know, such as TIFF, as the service sees it. */
async function previewFromService() {
  const shown = image;
  byId("preview").hidden = true;
  if (!shown || shown.previewed) return;
  shown.previewed = true; // a preview that cannot be shown either is not requested again
  const body = new FormData();
  body.append("image", shown);
  try {
    const preview = await (await request("v1/preview", { method: "POST", body })).blob();
    if (image === shown) setPreview(preview);
  } catch (error) {
    if (image === shown) showError(error);
  }
}

/** Take the image out of what was chosen, dropped or pasted. */
function takeFiles(files) {
  const [file] = files;
  if (!file) return;
  setImage(file, file.name);
  if (files.length > 1) showError(new Error(`One image at a time: ${file.name} was taken, the others were left out.`));
}

byId("preview").addEventListener("error", previewFromService);
byId("image").addEventListener("change", (event) => takeFiles(event.target.files));
for (const id of ["caption", "language", "cultures"]) byId(id).addEventListener("input", forgetAnswer);
byId("remove").addEventListener("click", () => {
  setImage(null);
  byId("image").value = "";
  byId("image").focus();
});

const drop = byId("drop");
for (const name of ["dragenter", "dragover"]) {
  drop.addEventListener(name, (event) => { event.preventDefault(); drop.classList.add("over"); });
}
drop.addEventListener("dragleave", () => drop.classList.remove("over"));
// what is dropped beside the field must not replace the page
addEventListener("dragover", (event) => event.preventDefault());
addEventListener("drop", (event) => {
  event.preventDefault();
  drop.classList.remove("over");
  const { files, types } = event.dataTransfer;
  if (files.length) takeFiles(files);
  else if (types.includes("text/uri-list")) showError(new Error("That is a link, not a file. Save the image on your computer, then drop the file here."));
  else showError(new Error("That is not an image file. Drop a file, or write text into the description."));
});
addEventListener("paste", (event) => {
  takeFiles([...event.clipboardData.files].filter((item) => item.type.startsWith("image/")));
});

const language = () => byId("language").value.trim().toLowerCase();
byId("language").addEventListener("input", () => {
  const code = LANGUAGE_CODES[language()];
  if (code) byId("caption").lang = code;
  else byId("caption").removeAttribute("lang");
});

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  if (!byId("key-field").hidden) sessionStorage.setItem("key", byId("key").value);
  await submit();
});

function requestPrediction(cultures, explain, signal) {
  const body = new FormData();
  const caption = byId("caption").value;
  if (image) body.append("image", image);
  if (caption.trim()) body.append("caption", caption);
  if (language()) body.append("language", language());
  for (const culture of cultures) body.append("culture", culture);
  if (explain) body.append("explain", "true");
  else if (model.prediction_sets) body.append("sets", SET_LEVEL);
  return request("v1/predict", { method: "POST", body, signal }).then((response) => response.json());
}

async function submit() {
  forgetAnswer();
  pending = new AbortController();
  const { signal } = pending;
  if (!model) await loadModel();
  if (!model || signal.aborted) return;
  if (!image && !byId("caption").value.trim()) {
    showError(new Error("Add an image, a description, or both."));
    byId("image").focus();
    return;
  }
  const cultures = [...document.querySelectorAll("#cultures input:checked")].map((box) => box.value);
  if (!cultures.length) {
    showError(new Error("Select at least one culture."));
    return;
  }
  byId("submit").disabled = true;
  byId("status").textContent = "Predicting …";
  try {
    const { predictions } = await requestPrediction(cultures, false, signal);
    if (signal.aborted) return;
    showPredictions(predictions);
    byId("submit").disabled = false;
    if (model.explains) {
      byId("status").textContent = "The prediction is below. Computing the explanation …";
      const explainable = cultures.slice(0, model.limits.explained_cultures);
      const explained = await requestPrediction(explainable, true, signal);
      if (signal.aborted) return;
      showExplanations(explained.predictions);
    }
    byId("status").textContent = model.explains ? "The prediction and its explanation are below." : "The prediction is below.";
  } catch (error) {
    if (signal.aborted) return;
    byId("status").textContent = "";
    byId("submit").disabled = false;
    showError(error);
  }
}

// ---- prediction ----

function namesOf(emotion) {
  return model.emotions.find(({ name }) => name === emotion).names;
}

/** The names of an emotion in languages other than English, each marked with its language. */
function translations(emotion) {
  return Object.entries(namesOf(emotion))
    .filter(([language]) => language !== "english")
    .map(([language, name]) => element("small", { lang: LANGUAGE_CODES[language], dir: "auto" }, name));
}

/** The name of an emotion in the language of a culture, unless that is English. */
function localName(emotion, culture) {
  const name = namesOf(emotion)[culture];
  if (culture === "english" || !name) return [];
  return [" ", element("small", { lang: LANGUAGE_CODES[culture], dir: "auto" }, name)];
}

function modalityShares({ modality_shares: shares }) {
  const used = Object.entries(shares).filter(([, share]) => share > 0);
  if (used.length < 2) return [];
  const bar = element("div", { className: "shares", ariaHidden: "true" });
  for (const [name, share] of used) {
    const segment = element("span", { className: name });
    segment.style.width = `${100 * share}%`;
    bar.append(segment);
  }
  return [bar, element("p", { className: "small" }, `Based ${percent(shares.image)} on the image and ${percent(shares.caption)} on the description`)];
}

/** The emotions that cannot be ruled out, such as "contentment or awe, 90%". */
function predictionSet({ prediction_set: set }) {
  if (!set) return [];
  const names = new Intl.ListFormat("en-GB", { type: "disjunction" }).format(set.labels);
  return [element("p", { className: "set", title: `In ${percent(set.level)} of cases, the emotion is among these.` }, `${capitalized(names)}, ${percent(set.level)}`)];
}

function showPredictions(predictions) {
  byId("summary").replaceChildren(...predictions.map((prediction) => element("article", {},
    element("h3", {}, `${capitalized(prediction.culture)} viewers`),
    element("p", { className: "top-emotion" }, capitalized(prediction.top), ...localName(prediction.top, prediction.culture), ` ${percent(prediction.probabilities[prediction.top])}`),
    ...predictionSet(prediction),
    ...modalityShares(prediction))));
  const table = byId("emotions");
  table.tHead.replaceChildren(element("tr", {}, element("th", { scope: "col" }, "emotion"),
    ...predictions.map(({ culture }) => element("th", { scope: "col" }, culture))));
  table.tBodies[0].replaceChildren(...model.emotions.map(({ name }) => element("tr", {},
    element("th", { scope: "row" }, capitalized(name), element("br"), ...translations(name)),
    ...predictions.map((prediction) => probabilityCell(prediction, name)))));
  const notes = new Set(predictions.map(({ note }) => note).filter(Boolean));
  byId("notes").replaceChildren(...[...notes].map((note) => element("li", {}, note)));
  byId("set-hint").hidden = !predictions.some(({ prediction_set: set }) => set);
  byId("result").hidden = false;
  byId("result").scrollIntoView();
}

function probabilityCell(prediction, emotion) {
  const probability = prediction.probabilities[emotion];
  const isTop = prediction.top === emotion;
  const bar = element("span", { className: "bar" });
  bar.style.width = `${100 * probability}%`;
  const value = element("span", { className: "value" }, percent(probability));
  if (isTop) value.append(element("span", { className: "visually-hidden" }, ", most likely"));
  return element("td", { className: isTop ? "top" : "" }, bar, value);
}

// ---- explanation ----

function showExplanations(predictions) {
  byId("explanations").replaceChildren(...predictions.map(({ culture, explanation }) => {
    const card = element("article", {}, element("h3", {}, `${capitalized(explanation.emotion)}, ${capitalized(culture)} viewers`));
    if (explanation.heatmap) card.append(element("figure", {},
      element("img", { src: byId("preview").src, className: "artwork", alt: `The image; warm areas support ${explanation.emotion}` }),
      element("img", { src: explanation.heatmap, alt: "", className: "heatmap" })));
    if (explanation.words?.length) card.append(weightedWords(explanation.words));
    if (explanation.words?.length === 0) card.append(element("p", { className: "small" }, "The description contains no words, so there are no word weights."));
    if (explanation.caption_truncated) card.append(element("p", { className: "small" }, "The description is longer than the model can read; its end is ignored."));
    card.append(contributionList(explanation));
    return card;
  }));
  byId("explanation").hidden = false;
}

function weightedWords(words) {
  const largest = Math.max(...words.map((word) => Math.abs(word.weight))) || 1;
  const line = element("p", { className: "words", dir: "auto", lang: byId("caption").lang });
  if (!line.lang) line.removeAttribute("lang");
  for (const { text, weight } of words) {
    if (!weight) {
      line.append(text);
      continue;
    }
    const mark = element("mark", { title: `${text}: ${signed(weight)}` }, text);
    mark.style.background = `rgba(var(${weight > 0 ? "--warm" : "--cold"}), ${(0.55 * Math.abs(weight) / largest).toFixed(2)})`;
    line.append(mark);
  }
  return line;
}

function contributionList({ contributions, words }) {
  const list = element("dl");
  const add = (name, value, properties = {}) => list.append(element("dt", {}, name), element("dd", properties, value));
  // the strongest word as text, for readers who cannot see the colours
  const [strongest] = [...(words ?? [])].sort((a, b) => b.weight - a.weight);
  if (strongest?.weight > 0) add("Most important word", strongest.text, { dir: "auto" });
  for (const [name, value] of Object.entries(contributions.terms)) add(TERMS[name] ?? capitalized(name), signed(value));
  add("Effect of this culture (included above)", signed(contributions.culture));
  const title = contributions.exact ? "Contributions to the prediction (log-odds)" : "Loss without each input (log-odds)";
  return element("div", {}, element("p", { className: "small" }, title), list);
}

byId("heatmap").addEventListener("change", (event) => byId("explanations").classList.toggle("no-heatmap", !event.target.checked));

// ---- start ----

async function loadModel() {
  try {
    model = await (await request("v1/model")).json();
  } catch (error) {
    showError(error);
    return;
  }
  showError(null);
  byId("key-field").hidden = true;
  byId("image-field").hidden = !model.modalities.includes("image");
  byId("caption-field").hidden = !model.modalities.includes("caption");
  const languages = new Set([...model.languages, ...Object.keys(LANGUAGE_CODES)]);
  byId("languages").replaceChildren(...[...languages].map((value) => element("option", { value })));
  byId("synthetic").hidden = !model.synthetic;
  byId("caveat").hidden = !model.caveat;
  byId("caveat").textContent = `${capitalized(model.caveat)}.`;
  const few = model.cultures.length <= 8;
  const cultures = model.cultures.length ? model.cultures : ["any"];
  byId("cultures").replaceChildren(...cultures.map((name, index) => element("label", {},
    element("input", { type: "checkbox", value: name, checked: few || index < 3 }), ` ${capitalized(name)}`)));
  byId("model").textContent = `Model: ${model.name} (${model.engine}).`
    + (model.explains ? "" : " This model does not support explanations.");
}

async function showExamples() {
  const examples = await (await request("examples")).json();
  byId("examples").replaceChildren(...examples.map((example) => {
    const path = example.image.slice(1);
    const button = element("button", { type: "button" },
      element("img", { src: path, alt: "", loading: "lazy" }),
      element("span", {}, `${capitalized(example.title)} (${capitalized(example.language)})`));
    button.addEventListener("click", () => tryExample(example, path).catch(showError));
    return element("li", {}, button);
  }));
}

async function tryExample({ title, caption, language: name }, path) {
  choice += 1;
  const chosen = choice;
  const blob = await (await request(path)).blob();
  if (chosen !== choice) return; // another one was chosen in the meantime
  setImage(blob, `${title} (example)`);
  byId("caption").value = caption;
  byId("language").value = name;
  byId("language").dispatchEvent(new Event("input"));
  await submit();
}

await Promise.all([loadModel(), showExamples().catch(showError)]);
