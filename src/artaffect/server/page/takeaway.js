// What a visitor takes along: a card, JSON and CSV.

import { gapSentence, headline, ranked } from "./answer.js";
import { byId, download, settled } from "./dom.js";
import { labelTitle, percent, viewers } from "./labels.js";
import { language, t } from "./language.js";
import { model } from "./service.js";

const WIDTH = 1200, HEIGHT = 630, EDGE = 56;
const INK = "#1d1b18", PAPER = "#faf8f3", MUTED = "#5d5a54", LINE = "#ddd8cd";
const SERIF = "Georgia, 'Noto Serif', 'Noto Naskh Arabic', 'Songti SC', serif";
const SANS = "system-ui, 'Segoe UI', Roboto, 'Noto Sans', 'Noto Sans Arabic', sans-serif";

/** Lines of a text that fit a width; texts without blanks break between letters. */
function lines(pen, text, width, most) {
  const parts = text.match(/[\u2e80-\u9fff\uff00-\uffef]|[^\s\u2e80-\u9fff\uff00-\uffef]+\s*|\s+/g) ?? [];
  const made = [""];
  for (const part of parts) {
    if (made.at(-1) && pen.measureText(made.at(-1) + part.trimEnd()).width > width) made.push("");
    made[made.length - 1] += part;
  }
  if (made.length <= most) return made;
  return [...made.slice(0, most - 1), `${made[most - 1].trimEnd()} …`];
}

function drawLogo(pen, x, y) {
  pen.fillStyle = "#23211d";
  pen.fillRect(x, y, 32, 32);
  for (const [left, top, height, tone] of [[7, 13, 12, "#d99a10"], [13.75, 7, 18, "#d2542b"], [20.5, 17, 8, "#4f86d6"]]) {
    pen.fillStyle = "#f4efe6";
    pen.fillRect(x + left, y + top, 4.5, height);
    pen.fillStyle = tone;
    pen.fillRect(x + left, y + top, 4.5, 4);
  }
}

function drawCulture(pen, prediction, [left, top, width]) {
  const rtl = language === "ar";
  const [start, end] = rtl ? [left + width, left] : [left, left + width];
  pen.fillStyle = MUTED;
  pen.font = `600 20px ${SANS}`;
  pen.textAlign = "start";
  pen.fillText(viewers(prediction.culture), start, top, width);
  ranked([prediction]).slice(0, 3).forEach((label, row) => {
    const y = top + 34 + 48 * row;
    const share = prediction.probabilities[label];
    pen.fillStyle = INK;
    pen.font = `${row ? 400 : 600} 19px ${SANS}`;
    pen.textAlign = "start";
    pen.fillText(labelTitle(label), start, y, width - 70);
    pen.textAlign = "end";
    pen.fillText(percent(share), end, y);
    pen.fillStyle = LINE;
    pen.fillRect(left, y + 8, width, 9);
    pen.fillStyle = model.emotions.find(({ name }) => name === label).colour.light;
    pen.fillRect(rtl ? left + width * (1 - share) : left, y + 8, width * share, 9);
  });
}

function drawImage(pen, image, left, top, width, height) {
  const scale = Math.min(width / image.naturalWidth, height / image.naturalHeight);
  const [w, h] = [image.naturalWidth * scale, image.naturalHeight * scale];
  pen.drawImage(image, left + (width - w) / 2, top, w, h);
}

const textOf = (nodes) => nodes.map((node) => node.textContent ?? node).join("");
const isRightToLeft = (text) => /^[^A-Za-z\u00c0-\u024f\u2e80-\uffdc]*[\u0590-\u08ff]/.test(text);

/** The answer as a PNG of 1200 × 630 pixels. */
export function drawCard({ predictions, caption }, image) {
  const canvas = Object.assign(document.createElement("canvas"), { width: WIDTH, height: HEIGHT });
  const pen = canvas.getContext("2d");
  const rtl = language === "ar";
  pen.direction = rtl ? "rtl" : "ltr";
  pen.fillStyle = PAPER;
  pen.fillRect(0, 0, WIDTH, HEIGHT);
  const hasImage = Boolean(image?.naturalWidth);
  const imageWidth = hasImage ? 380 : 0;
  if (hasImage) drawImage(pen, image, rtl ? WIDTH - EDGE - imageWidth : EDGE, EDGE, imageWidth, 330);
  const width = WIDTH - 2 * EDGE - (hasImage ? imageWidth + 40 : 0);
  const left = hasImage && !rtl ? EDGE + imageWidth + 40 : EDGE;
  const start = rtl ? left + width : left;
  pen.fillStyle = INK;
  const text = textOf(headline(predictions));
  let size = 46;
  do {
    size -= 2;
    pen.font = `${size}px ${SERIF}`;
  } while (size > 24 && lines(pen, text, width, 99).length > 4);
  let y = EDGE + size * 0.8;
  for (const line of lines(pen, text, width, 6)) {
    pen.fillText(line.trimEnd(), start, y);
    y += size * 1.22;
  }
  pen.fillStyle = MUTED;
  const write = (content, font) => {
    pen.font = font;
    pen.direction = isRightToLeft(content) ? "rtl" : "ltr";
    pen.textAlign = rtl ? "right" : "left";
    for (const line of lines(pen, content, width, 3)) {
      pen.fillText(line.trimEnd(), start, y);
      y += 28;
    }
    y += 8;
  };
  const gap = textOf(gapSentence(predictions));
  if (gap) write(gap, `20px ${SANS}`);
  if (caption?.trim()) write(`“${caption.trim()}”`, `italic 20px ${SERIF}`);
  pen.direction = rtl ? "rtl" : "ltr";
  const shown = predictions.slice(0, 4);
  const column = (WIDTH - 2 * EDGE - 36 * (shown.length - 1)) / shown.length;
  shown.forEach((prediction, index) => {
    const place = rtl ? shown.length - 1 - index : index;
    drawCulture(pen, prediction, [EDGE + place * (column + 36), 424, column]);
  });
  drawLogo(pen, rtl ? WIDTH - EDGE - 26 : EDGE - 6, HEIGHT - 44);
  pen.fillStyle = MUTED;
  pen.font = `16px ${SANS}`;
  pen.textAlign = "start";
  const date = new Date().toLocaleDateString(language, { dateStyle: "long" });
  const origin = [t("made"), model.name, date].map((part) => `\u2068${part}\u2069`).join(" · "); // each in its own direction
  pen.fillText(origin, rtl ? WIDTH - EDGE - 40 : EDGE + 36, HEIGHT - 22);
  if (model.synthetic) drawWarning(pen, rtl);
  return canvas;
}

function drawWarning(pen, rtl) {
  pen.textAlign = "end";
  pen.fillStyle = "#8a5a00";
  const [text] = t("synthetic").split(/(?<=[.。])/);
  pen.fillText(text, rtl ? EDGE : WIDTH - EDGE, HEIGHT - 22, 480);
}

async function saveCard(answer) {
  await settled(byId("shown"));
  drawCard(answer, byId("shown")).toBlob((blob) => download(blob, "artaffect.png"), "image/png");
}

function saveJson({ name, caption, language: of, predictions, time }) {
  const content = { image: name || null, caption: caption || null, language: of || null, model: model.name, synthetic: model.synthetic, time, predictions };
  download(new Blob([JSON.stringify(content, null, 2)], { type: "application/json" }), "artaffect.json");
}

/** A field of CSV; a name that a spreadsheet would take for a formula gets an apostrophe. */
function field(value) {
  const text = String(value).replace(/^(?=\s*[=+\-@＝＋－＠])/, "'");
  return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** Rows as CSV that spreadsheets read in every script. */
export function saveTable(header, rows, name) {
  const text = [header, ...rows].map((row) => row.map((value) => (typeof value === "number" ? value : field(value))).join(",")).join("\r\n");
  download(new Blob(["\ufeff", text, "\r\n"], { type: "text/csv" }), name);
}

function saveCsv({ predictions }) {
  const rows = predictions.flatMap(({ culture, probabilities }) => Object.entries(probabilities).map(([label, share]) => [culture, label, share]));
  saveTable(["culture", "label", "probability"], rows, "artaffect.csv");
}

/** Let the buttons below the answer save it; `current` gives the answer that is shown. */
export function offerTakeAway(current) {
  for (const [id, save] of Object.entries({ "save-card": saveCard, "save-json": saveJson, "save-csv": saveCsv })) {
    byId(id).addEventListener("click", () => save(current()));
  }
  byId("print").addEventListener("click", () => print());
}

