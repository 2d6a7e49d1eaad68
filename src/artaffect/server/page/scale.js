// Large photographs are scaled down before they are sent; the model sees no more of them.

const LONGEST = 1600; // pixels of the longer side

/** A canvas with an image of this size, scaled down to the longest side, on a ground of this colour if it is given. */
function canvasOf(image, width, height, longest, ground = null) {
  const scale = Math.min(1, longest / Math.max(width, height));
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(width * scale));
  canvas.height = Math.max(1, Math.round(height * scale));
  const pen = canvas.getContext("2d");
  pen.imageSmoothingQuality = "high";
  if (ground) {
    pen.fillStyle = ground;
    pen.fillRect(0, 0, canvas.width, canvas.height);
  }
  pen.drawImage(image, 0, 0, canvas.width, canvas.height);
  return canvas;
}

async function drawn(bitmap, longest, type, quality) {
  const canvas = canvasOf(bitmap, bitmap.width, bitmap.height, longest);
  const blob = await new Promise((resolve) => canvas.toBlob(resolve, type, quality));
  return { blob, width: canvas.width, height: canvas.height };
}

/** A smaller, upright copy of an image, or null where it is small or the browser cannot read it. */
export async function scaledDown(file) {
  let bitmap;
  try {
    bitmap = await createImageBitmap(file, { imageOrientation: "from-image" });
  } catch {
    return null; // the service reads more formats than browsers
  }
  try {
    if (Math.max(bitmap.width, bitmap.height) <= LONGEST) return null;
    const type = file.type === "image/png" ? "image/png" : "image/jpeg";
    const copy = await drawn(bitmap, LONGEST, type, 0.92);
    return copy.blob && copy.blob.size < file.size ? copy : null;
  } finally {
    bitmap.close();
  }
}

/** A thumbnail as a data URL, from an image element that has loaded; null where there is none. */
export function thumbnail(node, longest = 160) {
  if (!node?.naturalWidth) return null;
  return canvasOf(node, node.naturalWidth, node.naturalHeight, longest, "#fff").toDataURL("image/jpeg", 0.7);
}
