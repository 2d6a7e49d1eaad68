// Works to try out.

import { byId, element } from "./dom.js";
import { capitalized, cultureName } from "./labels.js";
import { model, request } from "./service.js";

let turn = 0; // the number of the example that was chosen last

/** List the examples; `ask` is called with the one that is chosen, and its image if the model sees. */
export async function showExamples(ask, fail) {
  const examples = await (await request("examples")).json();
  const sees = model?.modalities.includes("image") ?? true;
  byId("examples").classList.toggle("texts", !sees);
  byId("examples").replaceChildren(...examples.map((example) => {
    const path = example.image.slice(1);
    const content = sees
      ? [element("img", { src: path, alt: "", loading: "lazy" }), element("span", { dir: "auto" }, `${capitalized(example.title)} (${cultureName(example.language)})`)]
      : [element("span", { dir: "auto" }, example.caption)];
    const button = element("button", { type: "button" }, ...content);
    button.addEventListener("click", async () => {
      turn += 1;
      const chosen = turn;
      try {
        const blob = sees ? await (await request(path)).blob() : null;
        if (chosen === turn) await ask(example, blob); // otherwise another one was chosen meanwhile
      } catch (error) {
        fail(error);
      }
    });
    return element("li", {}, button);
  }));
}
