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

  // the least certain answer of a work in the chosen cultures, or in all
  function certainty(i, considered) {
    let least = 1;
    for (const c of considered) least = Math.min(least, topProbability[i * nCultures + c]);
    return least;
  }

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
  function sortKeys(state, fits, considered, likeness) {
    const sort = state.sort || (likeness ? "like" : state.chosen.some(label => label !== NONE) ? "strength" : "");
    const of = compute => { const keys = new Float64Array(count); for (const i of fits) keys[i] = compute(i); return keys; };
    switch (sort) {
      case "title": return rankOfTitles();
      case "sure": return of(i => -certainty(i, considered));
      case "unsure": return of(i => certainty(i, considered));
      case "apart": return of(i => -divergence[i]);
      case "together": return of(i => divergence[i]);
      case "like": return likeness && of(i => -likeness[i]);
      case "strength": return of(i => -certainty(i, considered));
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
    const certainties = [], divergences = [];
    for (let i = 0; i < count; i++) {
      if (!terms.every(term => gallery.words[i].includes(term))) continue;
      if (likeness && (likeness[i] < -1 || !gallery.isKin(state.like, i, state.kin, state.eye))) continue;
      const isSure = !state.sure || certainty(i, considered) >= state.sure;
      const isApart = !state.apart || divergence[i] >= state.apart;
      let wrong = 0, where = -1;
      for (const [c, label] of chosen) if (tops[i * nCultures + c] !== label) { wrong++; where = c; }
      if (!wrong && isApart) certainties.push(certainty(i, considered));
      if (!wrong && isSure) divergences.push(divergence[i]);
      if (wrong > 1 || !isSure || !isApart) continue;
      // a number beside a label says what choosing it in its culture would leave
      for (let c = 0; c < nCultures; c++) {
        const label = tops[i * nCultures + c];
        if (label !== NONE && (!wrong || where === c)) counts[c * nLabels + label]++;
      }
      if (!wrong) fits.push(i);
    }
    const keys = sortKeys(state, fits, considered, likeness);
    if (keys) fits.sort((a, b) => keys[a] - keys[b] || a - b);
    return { fits, counts, certainties, divergences };
  };

  gallery.nearest = (work, kin, eye, most) => {
    const likeness = gallery.similarities(work), fits = [];
    for (let i = 0; i < count; i++) if (likeness[i] > -1 && gallery.isKin(work, i, kin, eye)) fits.push(i);
    return fits.sort((a, b) => likeness[b] - likeness[a]).slice(0, most);
  };
})(window.gallery);
