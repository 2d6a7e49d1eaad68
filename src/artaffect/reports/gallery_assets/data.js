// The data of the collection as typed arrays, and what is asked of them.
"use strict";
window.gallery = (() => {
  const { works, records } = window.galleryData ?? {};
  if (!works || !records) {
    const fault = document.querySelector("#fault");
    fault.hidden = false;
    fault.textContent = "The folder data beside this page is missing or incomplete: copy the whole gallery again.";
    return null;
  }
  const bytes = text => Uint8Array.from(atob(text), c => c.charCodeAt(0));
  const { labels, cultures, ids } = works;
  const count = ids.length, nLabels = labels.length, nCultures = cultures.length;
  const probabilities = new Uint16Array(bytes(works.probabilities).buffer);
  const tops = bytes(works.tops);
  const divergence = new Float32Array(bytes(works.divergence).buffer);
  const NONE = 255; // what a reviewer rejected counts as no answer
  const reviews = new Map();
  for (const [work, culture, isRejected, reviewer] of works.reviews) {
    reviews.set(work * nCultures + culture, { isRejected, reviewer });
    if (isRejected) tops[work * nCultures + culture] = NONE;
  }
  const plain = text => text.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase();
  const words = ids.map((id, i) => plain(`${works.titles[i]}\n${records.texts[i]}\n${id}`));
  const positions = new Map(ids.map((id, i) => [id, i]));
  const probability = (i, c, l) => probabilities[(i * nCultures + c) * nLabels + l] / 65535;
  const topProbability = new Float32Array(count * nCultures);
  for (let k = 0; k < tops.length; k++) {
    topProbability[k] = tops[k] === NONE ? 0 : probabilities[k * nLabels + tops[k]] / 65535;
  }
  let loading = null, vectors = null;
  const loadVectors = () => loading ??= new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = "data/vectors.js";
    script.onload = () => {
      const data = window.galleryData.vectors;
      vectors = { ...data, values: new Int8Array(bytes(data.vectors).buffer) };
      resolve();
    };
    script.onerror = reject;
    document.head.append(script);
  });
  // cosine similarity of all works to one; -2 without an image
  function similarities(work) {
    const result = new Float32Array(count).fill(-2);
    if (!vectors) return result;
    const { width, scale, values } = vectors, own = values.subarray(work * width, (work + 1) * width);
    if (!own.some(Boolean)) return result;
    for (let i = 0; i < count; i++) {
      let dot = 0, any = 0;
      for (let k = 0, at = i * width; k < width; k++, at++) { dot += own[k] * values[at]; any |= values[at]; }
      if (any && i !== work) result[i] = dot / (scale * scale);
    }
    return result;
  }
  const at = (values, codes, i) => values[codes === 0 ? 0 : codes[i]];
  return {
    labels, cultures, ids, count, nLabels, nCultures, tops, divergence, reviews, plain, words, positions, NONE,
    probability, topProbability, loadVectors, similarities,
    hasVectors: works.hasVectors,
    hasValence: labels[0].valence !== null,
    title: i => works.titles[i] || ids[i],
    titles: works.titles,
    text: i => records.texts[i],
    image: i => works.images[i],
    record: i => Object.entries(records.records).map(([name, values]) => [name, values[i]]).filter(pair => pair[1]),
    note: i => at(works.notes, works.noteOf, i),
    missing: i => at(works.missing, works.missingOf, i),
    origin: i => at(works.origins, works.originOf, i),
    top: (i, c) => tops[i * nCultures + c],
    percent: value => value > 0 && value < .005 ? "<1 %" : `${Math.round(100 * value)} %`,
    element(name, attributes = {}, ...children) {
      const node = document.createElement(name);
      for (const [key, value] of Object.entries(attributes)) {
        if (key === "class") node.className = value;
        else if (value !== null && value !== undefined && value !== false) node.setAttribute(key, value === true ? "" : value);
      }
      node.append(...children.filter(child => child !== null && child !== undefined));
      return node;
    },
  };
})();
