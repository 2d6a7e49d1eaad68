// Short ways to find and make elements.

export const byId = (id) => document.getElementById(id);

/** Create an element. Strings become text nodes, never markup. */
export function element(tag, properties = {}, ...children) {
  const node = Object.assign(document.createElement(tag), properties);
  node.append(...children);
  return node;
}

/** Wait until an image element has loaded its image, or cannot; one without an image is not waited for. */
export async function settled(image) {
  while (!image.complete) {
    await new Promise((resolve) => {
      for (const name of ["load", "error"]) image.addEventListener(name, resolve, { once: true });
    });
  }
}

/** Offer a file to save. */
export function download(blob, name) {
  const link = element("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

export function showError(error) {
  byId("problem").textContent = error ? error.message : "";
  byId("problem").hidden = !error;
}
