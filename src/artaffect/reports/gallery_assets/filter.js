// The state of the page, which its address holds; and the works that fit it.
"use strict";
if (window.gallery) (gallery => {
  const { labels, cultures, count, nCultures, nLabels, tops, topProbability, divergence, NONE } = gallery;
  const labelAt = new Map(labels.map((label, i) => [label.name, i]));
  const KINS = ["same", "opposite"];

  gallery.parse = hash => {
    const given = new URLSearchParams(hash.replace(/^#/, ""));
    const number = (name, most) => Math.min(most, Math.max(0, Number(given.get(name)) || 0));
    const work = name => gallery.positions.get(given.get(name)) ?? null;
    const eye = cultures.findIndex(culture => culture.name === given.get("eye"));
    const state = {
      words: given.get("q") ?? "", sure: number("sure", 1), apart: number("apart", 1), sort: given.get("sort") ?? "",
      work: work("work"), like: gallery.hasVectors ? work("like") : null,
      kin: KINS.includes(given.get("kin")) ? given.get("kin") : "", eye: Math.max(0, eye),
      chosen: cultures.map(culture => labelAt.get(given.get(`in.${culture.name}`)) ?? NONE),
    };
    if (!gallery.hasValence && state.kin === "opposite") state.kin = "";
    return state;
  };
  gallery.format = state => {
    const out = new URLSearchParams();
    const put = (name, value) => { if (value) out.set(name, value); };
    put("q", state.words);
    state.chosen.forEach((label, c) => { if (label !== NONE) out.set(`in.${cultures[c].name}`, labels[label].name); });
    put("sure", state.sure && String(state.sure));
    put("apart", state.apart && String(state.apart));
    if (state.like !== null) put("like", gallery.ids[state.like]);
    put("kin", state.kin);
    if (state.kin) put("eye", state.eye && cultures[state.eye].name);
    put("sort", state.sort);
    if (state.work !== null) put("work", gallery.ids[state.work]);
    return `#${out}`;
  };

  // whether another work evokes the same emotion in a culture, or one of the opposite valence
  gallery.isKin = (work, other, kin, eye) => {
    const own = tops[work * nCultures + eye], its = tops[other * nCultures + eye];
    if (!kin) return true;
    if (own === NONE || its === NONE) return false;
    return kin === "same" ? own === its : labels[own].valence * labels[its].valence === -1;
  };

  // how certain the least certain answer of each work is, in the chosen cultures or in all
  let certain = { key: null, values: new Float32Array(count) };
  function certainties(considered) {
    const key = considered.join();
    if (certain.key === key) return certain.values;
    const values = new Float32Array(count).fill(1);
    for (const c of considered) {
      for (let i = 0, k = c; i < count; i++, k += nCultures) if (topProbability[k] < values[i]) values[i] = topProbability[k];
    }
    certain = { key, values };
    return values;
  }

  const BINS = 40;
  gallery.mostApart = divergence.reduce((most, value) => value > most ? value : most, .01);
  const bin = (bins, share) => { if (share === share) bins[Math.min(BINS - 1, Math.floor(BINS * share))]++; };

  let titleRank = null;
  function rankOfTitles() {
    if (titleRank) return titleRank;
    const { compare } = new Intl.Collator(undefined, { numeric: true });
    const names = gallery.ids.map((_, i) => gallery.title(i));
    const order = names.map((_, i) => i).sort((a, b) => compare(names[a], names[b]));
    titleRank = new Float64Array(count);
    order.forEach((work, rank) => { titleRank[work] = rank; });
    return titleRank;
  }

  // a number for each work; the works with the smallest come first
  function sortKeys(state, fits, certainty, likeness) {
    const sort = state.sort || (likeness ? "like" : state.chosen.some(label => label !== NONE) ? "strength" : "");
    const of = compute => { const keys = new Float64Array(count); for (const i of fits) keys[i] = compute(i); return keys; };
    switch (sort) {
      case "title": return rankOfTitles();
      case "sure": return of(i => -certainty[i]);
      case "unsure": return of(i => certainty[i]);
      case "apart": return of(i => -divergence[i]);
      case "together": return of(i => divergence[i]);
      case "like": return likeness && of(i => -likeness[i]);
      case "strength": return of(i => -certainty[i]);
      default: return null;
    }
  }

  let last = { like: null, likeness: null };
  gallery.find = state => {
    const terms = gallery.plain(state.words).split(/\s+/).filter(Boolean);
    const chosen = state.chosen.map((label, c) => [c, label]).filter(([, label]) => label !== NONE);
    const considered = chosen.length ? chosen.map(([c]) => c) : cultures.map((_, c) => c);
    if (state.like !== null && last.like !== state.like) last = { like: state.like, likeness: gallery.similarities(state.like) };
    const likeness = state.like === null ? null : last.likeness;
    const counts = new Int32Array(nCultures * nLabels), fits = [];
    const certainty = certainties(considered), sureBins = new Int32Array(BINS), apartBins = new Int32Array(BINS);
    for (let i = 0; i < count; i++) {
      if (terms.length && !terms.every(term => gallery.words[i].includes(term))) continue;
      if (likeness && (likeness[i] < -1 || !gallery.isKin(state.like, i, state.kin, state.eye))) continue;
      const isSure = !state.sure || certainty[i] >= state.sure;
      const isApart = !state.apart || divergence[i] >= state.apart;
      let wrong = 0, where = -1;
      for (let k = 0; k < chosen.length; k++) {
        if (tops[i * nCultures + chosen[k][0]] !== chosen[k][1]) { wrong++; where = chosen[k][0]; }
      }
      if (!wrong && isApart) bin(sureBins, certainty[i]);
      if (!wrong && isSure) bin(apartBins, divergence[i] / gallery.mostApart);
      if (wrong > 1 || !isSure || !isApart) continue;
      // a number beside a label says what choosing it in its culture would leave
      for (let c = 0; c < nCultures; c++) {
        const label = tops[i * nCultures + c];
        if (label !== NONE && (!wrong || where === c)) counts[c * nLabels + label]++;
      }
      if (!wrong) fits.push(i);
    }
    const keys = sortKeys(state, fits, certainty, likeness);
    if (keys) fits.sort((a, b) => keys[a] - keys[b] || a - b);
    return { fits, counts, sureBins, apartBins };
  };

  gallery.nearest = (work, kin, eye, most) => {
    const likeness = gallery.similarities(work), fits = [];
    for (let i = 0; i < count; i++) if (likeness[i] > -1 && gallery.isKin(work, i, kin, eye)) fits.push(i);
    return fits.sort((a, b) => likeness[b] - likeness[a]).slice(0, most);
  };
})(window.gallery);
