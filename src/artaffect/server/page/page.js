// The page: one question at a time, the answer at once, the reasons when they are there.

const find = (id) => document.getElementById(id);
const form = find("question");
const CODES = { arabic: "ar", chinese: "zh", english: "en", spanish: "es", french: "fr", german: "de", hindi: "hi", urdu: "ur" };
const PARTS = { habit: "this public's habit", image: "the picture", caption: "the words" };

let model = null;
let picture = null; // File or Blob
let asking = null; // AbortController of the question under way

/** An element with properties and children; texts are texts, never markup. */
function make(tag, properties = {}, ...children) {
  const node = Object.assign(document.createElement(tag), properties);
  node.append(...children);
  return node;
}

const percent = (share) => `${(100 * share).toFixed(share < 0.0995 ? 1 : 0)} %`;
const signed = (value) => (value < 0 ? "−" : "+") + Math.abs(value).toFixed(2);
const titled = (text) => text.charAt(0).toUpperCase() + text.slice(1);

/** Ask the service; a refusal becomes an Error with the service's own words. */
async function request(path, options = {}) {
  const key = sessionStorage.getItem("key");
  const headers = key ? { Authorization: `Bearer ${key}` } : {};
  let answer;
  try {
    answer = await fetch(path, { ...options, headers });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error("The service cannot be reached. Is it still running?");
  }
  if (answer.ok) return answer;
  const problem = await answer.json().catch(() => ({}));
  if (answer.status === 401) {
    find("key-field").hidden = false;
    find("key").focus();
  }
  throw new Error([problem.title, problem.detail].filter(Boolean).join(": ") || `The service answered ${answer.status}`);
}

function complain(error) {
  find("problem").textContent = error ? error.message : "";
  find("problem").hidden = !error;
}

// ---- the question ----

function setPicture(file, name) {
  picture = file;
  const preview = find("preview");
  URL.revokeObjectURL(preview.src);
  preview.hidden = !file;
  preview.src = file ? URL.createObjectURL(file) : "";
  preview.alt = file ? `Your picture: ${name}` : "";
  find("picture-name").textContent = file ? name : "No picture yet";
  find("remove").hidden = !file;
  complain(null);
}

find("preview").addEventListener("error", () => { find("preview").hidden = true; });
find("picture").addEventListener("change", (event) => {
  const [file] = event.target.files;
  if (file) setPicture(file, file.name);
});
find("remove").addEventListener("click", () => {
  setPicture(null);
  find("picture").value = "";
  find("picture").focus();
});

const drop = find("drop");
for (const name of ["dragenter", "dragover"]) {
  drop.addEventListener(name, (event) => { event.preventDefault(); drop.classList.add("over"); });
}
drop.addEventListener("dragleave", () => drop.classList.remove("over"));
// a picture that misses the field must not replace the page
for (const name of ["dragover", "drop"]) addEventListener(name, (event) => event.preventDefault());
drop.addEventListener("drop", (event) => {
  drop.classList.remove("over");
  const [file] = event.dataTransfer.files;
  if (file) setPicture(file, file.name);
});
addEventListener("paste", (event) => {
  const file = [...event.clipboardData.files].find((one) => one.type.startsWith("image/"));
  if (file) setPicture(file, file.name);
});

find("language").addEventListener("change", (event) => {
  const code = CODES[event.target.value];
  if (code) find("caption").lang = code;
  else find("caption").removeAttribute("lang");
});

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  if (!find("key-field").hidden) sessionStorage.setItem("key", find("key").value);
  await ask();
});

async function ask() {
  asking?.abort();
  asking = new AbortController();
  const { signal } = asking;
  const caption = find("caption").value;
  complain(null);
  if (!model) await start();
  if (!model) return;
  if (!picture && !caption.trim()) {
    complain(new Error("Give a picture, write some words, or both."));
    find("picture").focus();
    return;
  }
  const cultures = [...document.querySelectorAll("#cultures input:checked")].map((box) => box.value);
  if (!cultures.length) {
    complain(new Error("Choose one public at least."));
    return;
  }
  const question = (explain) => {
    const body = new FormData();
    if (picture) body.append("image", picture);
    if (caption.trim()) body.append("caption", caption);
    if (find("language").value) body.append("language", find("language").value);
    for (const culture of explain ? cultures.slice(0, model.limits.explained_cultures) : cultures) body.append("culture", culture);
    if (explain) body.append("explain", "true");
    return request("v1/predict", { method: "POST", body, signal }).then((answer) => answer.json());
  };
  find("ask").disabled = true;
  find("status").textContent = "Looking …";
  find("why").hidden = true;
  let answered = false;
  try {
    const { predictions } = await question(false);
    showAnswer(predictions);
    answered = true;
    find("ask").disabled = false;
    if (model.explains) {
      find("status").textContent = "The answer is below. Finding out why …";
      const explained = await question(true);
      showReasons(explained.predictions);
    }
    find("status").textContent = model.explains ? "The answer and its reasons are below." : "The answer is below.";
  } catch (error) {
    if (error.name === "AbortError") return;
    find("status").textContent = "";
    if (!answered) find("answer").hidden = true; // an older one, to another question
    complain(error);
  } finally {
    if (signal === asking.signal) find("ask").disabled = false;
  }
}

// ---- the answer ----

/** An emotion's names in languages other than English, each marked as what it is. */
function otherNames(emotion) {
  const { called } = model.emotions.find((one) => one.name === emotion);
  return Object.entries(called)
    .filter(([tongue]) => tongue !== "english")
    .map(([tongue, name]) => make("small", { lang: CODES[tongue], dir: "auto" }, name));
}

function inOwnTongue(emotion, culture) {
  const { called } = model.emotions.find((one) => one.name === emotion);
  if (culture === "english" || !called[culture]) return [];
  return [" ", make("small", { lang: CODES[culture], dir: "auto" }, called[culture])];
}

function sharesOf(reading) {
  const given = Object.entries(reading.modality_shares).filter(([, share]) => share > 0);
  if (given.length < 2) return [];
  const bar = make("div", { className: "shares", ariaHidden: "true" });
  for (const [name, share] of given) {
    const part = make("span", { className: name });
    part.style.width = `${100 * share}%`;
    bar.append(part);
  }
  const { image, caption } = reading.modality_shares;
  return [bar, make("p", { className: "small" }, `Picture ${percent(image)} · words ${percent(caption)} of what moved the answer`)];
}

function showAnswer(readings) {
  find("summary").replaceChildren(...readings.map((reading) => make("article", {},
    make("h3", {}, `${titled(reading.culture)} readers`),
    make("p", { className: "felt" }, titled(reading.top), ...inOwnTongue(reading.top, reading.culture), ` ${percent(reading.probabilities[reading.top])}`),
    ...sharesOf(reading))));
  const table = find("emotions");
  table.tHead.replaceChildren(make("tr", {}, make("th", { scope: "col" }, "emotion"),
    ...readings.map((reading) => make("th", { scope: "col" }, reading.culture))));
  table.tBodies[0].replaceChildren(...model.emotions.map(({ name }) => make("tr", {},
    make("th", { scope: "row" }, name, make("br"), ...otherNames(name)),
    ...readings.map((reading) => {
      const share = reading.probabilities[name];
      const bar = make("span", { className: "bar" });
      bar.style.width = `${100 * share}%`;
      const likeliest = reading.top === name;
      const value = make("span", { className: "value" }, percent(share));
      if (likeliest) value.append(make("span", { className: "unseen" }, ", likeliest"));
      return make("td", { className: likeliest ? "top" : "" }, bar, value);
    }))));
  const notes = new Set(readings.map((reading) => reading.note).filter(Boolean));
  find("notes").replaceChildren(...[...notes].map((note) => make("li", {}, note)));
  find("answer").hidden = false;
  find("answer").scrollIntoView();
}

function showReasons(readings) {
  find("reasons").replaceChildren(...readings.map((reading) => {
    const { explanation } = reading;
    const card = make("article", {}, make("h3", {}, `Why ${explanation.emotion}, for ${titled(reading.culture)} readers`));
    if (explanation.heatmap) card.append(make("figure", {},
      make("img", { src: find("preview").src, alt: `The picture; warm places speak for ${explanation.emotion}` }),
      make("img", { src: explanation.heatmap, alt: "", className: "heat" })));
    if (explanation.words) card.append(wordsOf(explanation));
    if (explanation.caption_cut) card.append(make("p", { className: "small" }, "The text is longer than what the model reads: its end is left out."));
    card.append(partsOf(explanation));
    return card;
  }));
  find("why").hidden = false;
}

function wordsOf(explanation) {
  const most = Math.max(...explanation.words.map((word) => Math.abs(word.weight))) || 1;
  const line = make("p", { className: "words", dir: "auto", lang: find("caption").lang });
  if (!line.lang) line.removeAttribute("lang");
  for (const word of explanation.words) {
    if (!word.weight) {
      line.append(word.text);
      continue;
    }
    const mark = make("mark", { title: `${word.text}: ${signed(word.weight)}` }, word.text);
    mark.style.background = `rgba(var(${word.weight > 0 ? "--warm" : "--cold"}), ${(0.55 * Math.abs(word.weight) / most).toFixed(2)})`;
    line.append(mark);
  }
  return line;
}

function partsOf({ parts, words }) {
  const list = make("dl");
  const rows = Object.entries(parts.terms).map(([name, value]) => [PARTS[name], value]);
  rows.push(["this public rather than any (contained above)", parts.culture]);
  if (words) {
    // colours alone would leave out whoever does not see them
    const [first] = [...words].sort((a, b) => b.weight - a.weight);
    if (first && first.weight > 0) list.append(make("dt", {}, "Word that counted most"), make("dd", { dir: "auto" }, first.text));
  }
  for (const [name, value] of rows) list.append(make("dt", {}, titled(name)), make("dd", {}, signed(value)));
  return make("div", {}, make("p", { className: "small" }, parts.exact ? "What it is made of, in log-odds:" : "What it would lose without, in log-odds:"), list);
}

find("heat").addEventListener("change", (event) => find("reasons").classList.toggle("no-heat", !event.target.checked));

// ---- the start ----

async function start() {
  try {
    model = await (await request("v1/model")).json();
  } catch (error) {
    complain(error);
    return;
  }
  complain(null);
  find("key-field").hidden = true;
  find("picture-field").hidden = !model.modalities.includes("image");
  find("caption-field").hidden = !model.modalities.includes("caption");
  find("language").replaceChildren(make("option", { value: "" }, "not said"),
    ...model.languages.map((name) => make("option", { value: name }, titled(name))));
  const few = model.cultures.length <= 8;
  const cultures = model.cultures.length ? model.cultures : ["any"];
  find("cultures").replaceChildren(...cultures.map((name, at) => make("label", {},
    make("input", { type: "checkbox", value: name, checked: few || at < 3 }), ` ${titled(name)}`)));
  find("model").textContent = `Model ${model.name}, ${model.engine}.`
    + (model.explains ? "" : " It was exported: it answers, but does not say why.");
}

async function showExamples() {
  const list = await (await request("examples")).json();
  find("examples").replaceChildren(...list.map((example) => {
    const button = make("button", { type: "button" },
      make("img", { src: example.image.slice(1), alt: "", loading: "lazy" }),
      make("span", {}, `${titled(example.title)}, in ${titled(example.language)}`));
    button.addEventListener("click", async () => {
      try {
        setPicture(await (await request(example.image.slice(1))).blob(), `${example.title} (example)`);
        find("caption").value = example.caption;
        find("language").value = model?.languages.includes(example.language) ? example.language : "";
        find("language").dispatchEvent(new Event("change"));
        await ask();
      } catch (error) {
        complain(error);
      }
    });
    return make("li", {}, button);
  }));
}

await Promise.all([start(), showExamples().catch(complain)]);
