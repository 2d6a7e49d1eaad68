// Requests to the service, and what it says of its model.

import { byId } from "./dom.js";
import { t } from "./language.js";

/** What is known of the model; null until the service has told. */
export let model = null;

/** The page's words for the problems that a visitor may meet, by the last part of their type. */
const PROBLEMS = {
  image: "problemImage",
  "too-large": "problemTooLarge",
  busy: "problemBusy",
  "slow-request": "problemSlow",
  "slow-answer": "problemSlow",
  key: "problemKey",
  invalid: "problemInvalid",
  internal: "problemInternal",
};

/** A problem in the language of the interface, with the detail that the service gives in English. */
function inWords({ type, title, detail }, status) {
  const known = PROBLEMS[type?.split(":").at(-1)];
  const problem = known ? t(known) : title || t("status", { status });
  return detail ? t("problemDetail", { problem, detail }) : problem;
}

/** Call the service; a problem becomes an Error with the page's words for it. */
export async function request(path, options = {}) {
  const key = sessionStorage.getItem("key");
  const headers = key ? { Authorization: `Bearer ${key}` } : {};
  let response;
  try {
    response = await fetch(path, { ...options, headers });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error(t("unreachable"));
  }
  if (response.ok) return response;
  const problem = await response.json().catch(() => ({}));
  if (response.status === 401) {
    byId("key-field").hidden = false;
    byId("key").focus();
  }
  throw new Error(inWords(problem, response.status));
}

export async function loadModel() {
  model = await (await request("v1/model")).json();
  return model;
}

const SET_LEVEL = 0.9; // how often the emotions named together hold the true one

/** Ask about one work. `kind` is "explain" or "check" for reasons, and their test; else undefined. */
export async function predict({ image, caption, language, cultures }, signal, kind) {
  const body = new FormData();
  if (image) body.append("image", image);
  if (caption?.trim()) body.append("caption", caption);
  if (language) body.append("language", language);
  for (const culture of cultures) body.append("culture", culture);
  if (kind) body.append(kind, "true");
  else if (model.prediction_sets) body.append("sets", SET_LEVEL);
  const response = await request("v1/predict", { method: "POST", body, signal });
  return (await response.json()).predictions;
}
