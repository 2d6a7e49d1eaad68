// The image of the question: chosen, dropped, pasted or taken with a camera.

import { byId, showError } from "./dom.js";
import { t } from "./language.js";
import { scaledDown } from "./scale.js";
import { model, request } from "./service.js";

/** The image that will be sent, its name, and a promise that is kept once it is ready to be sent. */
export const chosen = { image: null, name: "", ready: null };

let listener = {};
let turn = 0; // the number of the image that was taken last

/** Take another image, or none: the question changes. */
export function setImage(file, name = "") {
  listener.changed();
  turn += 1;
  showImage(file, name, name);
}

/** Show an image and make it part of the question. */
function showImage(file, name, note) {
  Object.assign(chosen, { image: file, name });
  byId("preview").alt = file ? t("yourImage", { name }) : "";
  setPreview(file);
  byId("image-name").textContent = file ? note : t("noImage");
  byId("remove").hidden = !file;
  byId("drop").classList.toggle("filled", Boolean(file));
}

function setPreview(blob) {
  const preview = byId("preview");
  URL.revokeObjectURL(preview.src);
  if (!blob) preview.hidden = true;
  if (blob) preview.src = URL.createObjectURL(blob);
  else preview.removeAttribute("src");
  for (const copy of document.querySelectorAll("img.artwork")) copy.src = preview.src;
}

/** Show a format that the browser does not know, such as TIFF, as the service sees it. */
async function previewFromService() {
  const shown = chosen.image;
  byId("preview").hidden = true;
  if (!shown || shown.previewed) return;
  shown.previewed = true; // a preview that cannot be shown either is not requested again
  const body = new FormData();
  body.append("image", shown);
  try {
    const preview = await (await request("v1/preview", { method: "POST", body })).blob();
    if (chosen.image === shown) setPreview(preview);
  } catch (error) {
    if (chosen.image === shown) showError(error);
  }
}

/** Take one image, or hand over several. */
function takeFiles(files) {
  if (!files.length) return;
  if (model && !model.modalities.includes("image")) {
    showError(new Error(t("noImageSupport")));
    return;
  }
  if (files.length > 1) {
    listener.several([...files]);
    return;
  }
  chosen.ready = takeFile(files[0]);
}

async function takeFile(file) {
  setImage(file, file.name);
  const taken = turn;
  const copy = await scaledDown(file);
  if (copy && taken === turn) {
    // the same question: whoever asked it meanwhile waits for this copy
    showImage(copy.blob, file.name, t("scaledDown", { name: file.name, width: copy.width, height: copy.height }));
  }
}

/** An image of this service, dragged from its page, can be fetched; what is elsewhere cannot. */
async function takeLink(text) {
  const link = URL.parse?.(text.split("\n")[0].trim());
  if (link?.origin === location.origin) {
    const blob = await (await request(link.href)).blob();
    if (blob.type.startsWith("image/")) {
      takeFiles([new File([blob], link.pathname.split("/").pop(), { type: blob.type })]);
      return;
    }
  }
  showError(new Error(t("link")));
}

function takeDropped(transfer) {
  if (transfer.files.length) takeFiles([...transfer.files]);
  else if (transfer.types.includes("text/uri-list")) takeLink(transfer.getData("text/uri-list")).catch(showError);
  else showError(new Error(t("notImage")));
}

/**
 * Listen for images.
 *
 * `changed` is called when the question changes, `several` with files when there is more than one.
 */
export function listenForImages(handlers) {
  listener = handlers;
  const drop = byId("drop");
  // shown once it has loaded: not every format can be
  byId("preview").addEventListener("load", (event) => { event.target.hidden = false; });
  byId("preview").addEventListener("error", previewFromService);
  for (const id of ["image", "camera"]) {
    byId(id).addEventListener("change", (event) => takeFiles([...event.target.files]));
  }
  byId("remove").addEventListener("click", () => {
    setImage(null);
    for (const id of ["image", "camera"]) byId(id).value = "";
    byId("image").focus();
  });
  for (const name of ["dragenter", "dragover"]) {
    drop.addEventListener(name, (event) => { event.preventDefault(); drop.classList.add("over"); });
  }
  drop.addEventListener("dragleave", () => drop.classList.remove("over"));
  // what is dropped beside the field must not replace the page
  addEventListener("dragover", (event) => event.preventDefault());
  addEventListener("drop", (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    takeDropped(event.dataTransfer);
  });
  addEventListener("paste", (event) => {
    const files = [...event.clipboardData.files].filter((item) => item.type.startsWith("image/"));
    const text = event.clipboardData.getData("text/plain");
    if (files.length) takeFiles(files);
    else if (!event.target.matches?.("input, textarea") && /^https?:\S+$/.test(text.trim())) takeLink(text).catch(showError);
  });
}
