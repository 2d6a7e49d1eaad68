// The controls: they write the address of the page, and the page shows what its address says.
"use strict";
if (window.gallery) (gallery => {
  const { labels, cultures, nCultures, nLabels, element, NONE } = gallery;
  const $ = selector => document.querySelector(selector);
  const number = new Intl.NumberFormat("en");
  const SORTS = [["", "Order of the collection"], ["title", "Title"], ["sure", "Most certain first"], ["unsure", "Least certain first"]];
  if (nCultures > 1) SORTS.push(["apart", "Cultures differ most"], ["together", "Cultures agree most"]);
  const apartStep = gallery.mostApart / 100;
  let state = gallery.parse(location.hash), shownFilters = null;

  gallery.address = changes => gallery.format({ ...state, ...changes });
  gallery.link = changes => `index.html${gallery.address(changes)}`;
  // a change of a filter replaces the address; opening a work is a step that the button Back undoes
  gallery.go = (changes, replace = false) => {
    const hash = gallery.address(changes);
    if (hash === (location.hash || "#")) return;
    if (replace) history.replaceState(null, "", hash);
    else history.pushState(null, "", hash);
    update();
  };

  // from: the share of the axis below which works are left out
  function histogram(svg, bins, from) {
    const top = Math.max(1, ...bins);
    svg.setAttribute("viewBox", `0 0 ${bins.length} 10`);
    svg.setAttribute("preserveAspectRatio", "none");
    svg.innerHTML = [...bins].map((n, i) => n ? `<rect class="${(i + 1) / bins.length <= from ? "out" : ""}" x="${i + .08}" y="${10 - Math.max(.3, 10 * n / top)}" width=".84" height="10"/>` : "").join("");
  }

  function showControls(result) {
    if ($("#words") !== document.activeElement) $("#words").value = state.words;
    const largest = Math.max(1, ...result.counts);
    for (const button of document.querySelectorAll("#matrix button")) {
      const { culture, label } = button.dataset, n = result.counts[culture * nLabels + +label];
      const isChosen = state.chosen[culture] === +label;
      button.setAttribute("aria-pressed", isChosen);
      button.setAttribute("aria-label", `${labels[label].name}, ${cultures[culture].name}: ${n} works`);
      button.classList.toggle("none", !n && !isChosen);
      button.firstElementChild.style.transform = `scaleX(${n / largest})`;
      button.lastElementChild.textContent = number.format(n);
    }
    $("#sure").value = Math.round(100 * state.sure);
    $("#sure-value").textContent = state.sure ? `${Math.round(100 * state.sure)} %` : "any";
    histogram($("#sure-histogram"), result.sureBins, state.sure);
    if (nCultures > 1) {
      $("#apart").value = Math.round(state.apart / apartStep);
      $("#apart-value").textContent = state.apart ? `${state.apart.toFixed(2)} bits` : "any";
      histogram($("#apart-histogram"), result.apartBins, state.apart / gallery.mostApart);
    }
    const isChosen = state.chosen.some(label => label !== NONE);
    const sorts = [...SORTS];
    if (state.like !== null) sorts[0] = ["", "Most alike first"];
    else if (isChosen) sorts[0] = ["", "Strongest first"];
    $("#sort").replaceChildren(...sorts.map(([value, text]) => element("option", { value, selected: value === state.sort }, text)));
    const n = result.fits.length, active = state.chosen.filter(label => label !== NONE).length + !!state.words + !!state.sure + !!state.apart + (state.like !== null);
    $("#count").textContent = `${number.format(n)} ${n === 1 ? "work" : "works"}`;
    $("#active").textContent = active ? ` (${active})` : "";
    $("#clear").disabled = !active;
    $("#empty").hidden = n > 0;
    const likeness = $("#likeness");
    likeness.hidden = state.like === null;
    if (state.like !== null) {
      const eye = nCultures > 1 ? ` for ${cultures[state.eye].name}` : "";
      const kin = { "": "", same: `, with the same emotion${eye}`, opposite: `, with the opposite emotion${eye}` }[state.kin];
      const remove = element("button", { type: "button" }, "Remove");
      remove.addEventListener("click", () => gallery.go({ like: null, kin: "" }));
      likeness.replaceChildren("Works that look like ", element("a", { href: gallery.link({ work: state.like }), dir: "auto" }, gallery.title(state.like)), `${kin}. `, remove);
    }
    likeness.classList.toggle("shown", state.like !== null);
  }

  let turn = 0;
  async function update() {
    const own = ++turn, before = state.work;
    state = gallery.parse(location.hash);
    const filters = gallery.format({ ...state, work: null });
    if (filters !== shownFilters) {
      if (state.like !== null) {
        try { await gallery.loadVectors(); } catch { state.like = null; }
        if (own !== turn) return;
      }
      const result = gallery.find(state);
      shownFilters = filters;
      showControls(result);
      gallery.showWall(result.fits);
    }
    gallery.showWork(state.work);
    document.title = state.work === null ? $("h1").textContent : `${gallery.title(state.work)} · ${$("h1").textContent}`;
    if (state.work === null && before !== null) gallery.focusOn(before);
  }

  $("#words").addEventListener("input", event => gallery.go({ words: event.target.value.trim() }, true));
  $("#sure").addEventListener("input", event => gallery.go({ sure: event.target.value / 100 }, true));
  $("#apart")?.addEventListener("input", event => gallery.go({ apart: +(event.target.value * apartStep).toFixed(4) }, true));
  $("#sort").addEventListener("change", event => gallery.go({ sort: event.target.value }, true));
  $("#matrix").addEventListener("click", event => {
    const button = event.target.closest("button");
    if (!button) return;
    const { culture, label } = button.dataset, chosen = [...state.chosen];
    chosen[culture] = chosen[culture] === +label ? NONE : +label;
    gallery.go({ chosen });
  });
  const clear = event => {
    event.preventDefault();
    $("#words").value = "";
    gallery.go({ words: "", sure: 0, apart: 0, like: null, kin: "", chosen: cultures.map(() => NONE) });
  };
  $("#filters").addEventListener("reset", clear);
  $("#filters").addEventListener("submit", event => event.preventDefault());
  $("#clear-too").addEventListener("click", clear);
  document.addEventListener("click", event => {
    const link = event.target.closest?.('a[href^="index.html#"]');
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    if (link.hash !== location.hash) history.pushState(null, "", link.hash);
    update();
  });
  addEventListener("popstate", update);
  addEventListener("hashchange", update);
  $("#panel").open = innerWidth > 900;
  $("#apart")?.setAttribute("aria-valuetext", "any");
  update();
})(window.gallery);
