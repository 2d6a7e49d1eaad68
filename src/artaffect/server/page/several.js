// Several images at once: one row for each.

import { byId, element, settled } from "./dom.js";
import { colour, cultureName, labelTitle, percent } from "./labels.js";
import { t } from "./language.js";
import { scaledDown, thumbnail } from "./scale.js";
import { model, predict } from "./service.js";
import { saveTable } from "./takeaway.js";

const AT_ONCE = 2; // requests
const MOST = 64; // images

let rows = [];

function row(file, cultures) {
  const image = element("img", { alt: "" });
  const cells = cultures.map(() => element("td", {}, "…"));
  const open = element("button", { type: "button" }, file.name);
  const node = element("tr", {}, element("td", {}, image), element("th", { scope: "row", dir: "auto" }, open), ...cells);
  image.src = URL.createObjectURL(file);
  return { file, node, cells, image, open, predictions: null };
}

async function answer(entry, question, signal) {
  try {
    const image = (await scaledDown(entry.file))?.blob ?? entry.file;
    entry.predictions = await predict({ ...question, image }, signal);
    entry.predictions.forEach(({ top, probabilities }, index) => {
      const tag = colour(element("span", { className: "tag" }, labelTitle(top)), top);
      entry.cells[index].replaceChildren(tag, " ", percent(probabilities[top]));
    });
  } catch (error) {
    if (signal.aborted) return;
    entry.cells[0].colSpan = entry.cells.length;
    entry.cells.slice(1).forEach((cell) => cell.remove());
    entry.cells[0].replaceChildren(element("span", { className: "problem" }, `${t("failed")}: ${error.message}`));
  } finally {
    await settled(entry.image);
    const small = thumbnail(entry.image);
    URL.revokeObjectURL(entry.image.src);
    if (small) entry.image.src = small;
    else entry.image.remove();
  }
}

/** Ask about each of many files; `open` is called with one whose row is chosen. */
export async function showSeveral(files, question, signal, open) {
  const { cultures } = question;
  rows = files.slice(0, MOST).map((file) => row(file, cultures));
  const table = byId("several-table");
  table.tHead.replaceChildren(element("tr", {}, element("th", { scope: "col" }, t("image")), element("th", { scope: "col" }, t("name")),
    ...cultures.map((culture) => element("th", { scope: "col" }, cultureName(culture)))));
  table.tBodies[0].replaceChildren(...rows.map(({ node }) => node));
  for (const entry of rows) entry.open.addEventListener("click", () => open(entry.file));
  byId("several").hidden = false;
  byId("several").scrollIntoView();
  const waiting = [...rows];
  let done = 0;
  const work = async () => {
    while (waiting.length && !signal.aborted) {
      await answer(waiting.shift(), question, signal);
      done += 1;
      byId("several-status").textContent = t("tableProgress", { done, count: rows.length });
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  return files.length > MOST ? t("tooMany", { count: MOST }) : null;
}

function saveRows() {
  const labels = model.emotions.map(({ name }) => name);
  const lines = rows.filter(({ predictions }) => predictions).flatMap(({ file, predictions }) => predictions.map(
    ({ culture, top, probabilities }) => [file.name, culture, top, ...labels.map((label) => probabilities[label])],
  ));
  saveTable(["image", "culture", "top", ...labels], lines, "artaffect-table.csv");
}

byId("save-table").addEventListener("click", saveRows);
