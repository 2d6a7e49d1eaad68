// The view of one work, above the wall.
"use strict";
if (window.gallery) (gallery => {
  const { cultures, labels, nCultures, element, percent, NONE } = gallery;
  const dialog = document.querySelector("#work");
  const NEAREST = 8;
  let kin = "", eye = 0;

  function distributions(work) {
    const head = element("tr", {}, element("td"), ...cultures.map(culture =>
      element("th", { scope: "col" }, culture.name)));
    const rows = labels.map((label, l) => {
      const translations = cultures.map(c => label.names[c.name]).filter(name => name && name !== label.name);
      const cells = cultures.map((culture, c) => {
        const p = gallery.probability(work, c, l), isTop = gallery.top(work, c) === l;
        return element("td", { class: isTop ? "top" : "", style: `--share: ${(100 * p).toFixed(1)}%` },
          element("span", { class: "bar" }), element("span", { class: "number" }, percent(p)));
      });
      const small = translations.length ? element("small", {}, ...translations.flatMap(name => [" ", element("bdi", {}, name)])) : null;
      const name = element("th", { scope: "row" }, element("i", { class: "swatch" }), label.name, small);
      return element("tr", { style: `--label: ${label.colour}` }, name, ...cells);
    });
    return element("div", { class: "scroller", tabindex: 0, role: "group", "aria-label": "Probability of each emotion" },
      element("table", { class: "distribution" }, element("thead", {}, head), element("tbody", {}, ...rows)));
  }

  function sentences(work) {
    const lines = [];
    const agreeing = gallery.feelings(work);
    if (nCultures > 1 && agreeing.length === 1 && agreeing[0][1].length === nCultures) {
      lines.push(`All cultures would most likely report ${labels[agreeing[0][0]].name}.`);
    }
    const apart = gallery.divergence[work];
    if (apart === apart && gallery.count > 1) {
      let below = 0;
      for (const other of gallery.divergence) below += other < apart;
      const share = Math.round(100 * below / (gallery.count - 1));
      lines.push(`The answers lie ${apart.toFixed(2)} bits apart, further than for ${share} % of the works here.`);
    }
    for (let c = 0; c < nCultures; c++) {
      const review = gallery.reviews.get(work * nCultures + c);
      if (review) lines.push(review.isRejected ? `A reviewer rejected the answer for ${cultures[c].name}.`
        : `The answer for ${cultures[c].name} is confirmed by ${review.reviewer}.`);
    }
    if (gallery.missing(work)) lines.push(`Predicted without: ${gallery.missing(work)}.`);
    if (gallery.note(work)) lines.push(`Note: ${gallery.note(work)}.`);
    return lines.map(line => element("p", { class: line.startsWith("Note") ? "note" : "" }, line));
  }

  const list = pairs => element("dl", {}, ...pairs.map(([name, value]) =>
    element("div", {}, element("dt", {}, name), element("dd", { dir: "auto" }, value))));

  function provenance(work) {
    const [model, digest, version, date] = gallery.origin(work);
    return list([["Model", model], ["Digest", digest], ["Software", `artaffect ${version}`], ["Date", date],
      ["Status", gallery.reviews.size ? "a machine's statement; reviewed only where it says so" : "a machine's statement, not reviewed"]]);
  }

  function alike(work) {
    const heading = element("h3", { id: "alike-title" }, "Works that look like this one");
    const section = element("section", { "aria-labelledby": "alike-title", class: "alike" }, heading);
    if (!gallery.hasVectors) {
      section.append(element("p", { class: "note" }, "Left out: nothing beside these answers tells which images are alike."));
      return section;
    }
    const results = element("ul", { class: "strip", role: "list" }), more = element("p");
    const radio = (value, text) => {
      const input = element("input", { type: "radio", name: "kin", value, checked: kin === value });
      input.addEventListener("change", () => { kin = value; show(); });
      return element("label", {}, input, text);
    };
    const choice = element("fieldset", { class: "kin" }, element("legend", { class: "hidden" }, "Which emotion"),
      radio("", "any emotion"), radio("same", "the same emotion"),
      gallery.hasValence ? radio("opposite", "the opposite emotion") : null);
    if (nCultures > 1) {
      const select = element("select", {}, ...cultures.map((culture, c) => element("option", { value: c, selected: c === eye }, culture.name)));
      select.addEventListener("change", () => { eye = +select.value; show(); });
      choice.append(element("label", {}, "for ", select));
    }
    section.append(choice);
    if (!gallery.hasValence) section.append(element("p", { class: "note" }, "The opposite emotion is left out: it is not known which labels are positive and which negative."));
    section.append(results, more);
    async function show() {
      try { await gallery.loadVectors(); } catch { more.textContent = "The file data/vectors.js is missing."; return; }
      const works = gallery.nearest(work, kin, eye, NEAREST), own = gallery.top(work, eye);
      results.replaceChildren(...works.map(other => {
        const top = gallery.top(other, eye);
        return element("li", {}, element("a", { href: gallery.link({ work: other }) }, gallery.thumbnail(other),
          element("span", { class: "name", dir: "auto" }, gallery.title(other)),
          element("span", { class: "feeling" }, top === NONE ? "" : labels[top].name)));
      }));
      more.replaceChildren();
      if (works.length) more.append(element("a", { href: gallery.link({ work: null, like: work, kin, eye, sort: "" }) }, "Show all of them on the wall"));
      else if (kin === "opposite" && own !== NONE && !labels[own].valence) more.append(`${labels[own].name} has no opposite.`);
      else more.append(gallery.image(work) === null ? "This work has no image." : "There is none.");
    }
    show();
    return section;
  }

  function step(work, by, text) {
    const other = gallery.neighbour(work, by);
    return other === null ? element("span", { class: "off", "aria-hidden": "true" }, text)
      : element("a", { href: gallery.link({ work: other }), rel: by < 0 ? "prev" : "next", "data-step": by }, text);
  }

  gallery.showWork = work => {
    if (work === null) { if (dialog.open) dialog.close(); return; }
    const image = gallery.image(work), [place, of] = gallery.place(work);
    const full = image === null ? gallery.thumbnail(work) : element("a", { href: image, target: "_blank", rel: "noopener", class: "full" }, gallery.thumbnail(work), element("span", { class: "hidden" }, "Open the image"));
    const close = element("button", { type: "button", class: "close" }, "Close");
    close.addEventListener("click", () => gallery.go({ work: null }));
    const record = gallery.record(work);
    const paragraphs = gallery.text(work).split(/\n\s*\n/).filter(Boolean).map(text => element("p", { dir: "auto" }, text));
    dialog.replaceChildren(
      element("nav", { "aria-label": "Works" }, step(work, -1, "← Previous"), element("span", { class: "place" }, place ? `${place} of ${of}` : ""), step(work, 1, "Next →"), close),
      element("div", { class: "pair" },
        element("div", { class: "left" }, full, ...paragraphs),
        element("div", {},
          element("p", { class: "eyebrow" }, gallery.ids[work]),
          element("h2", { id: "work-title", dir: "auto", tabindex: -1 }, gallery.title(work)),
          element("h3", {}, nCultures > 1 ? "What each culture would most likely report" : "What people would most likely report"),
          distributions(work), ...sentences(work))),
      alike(work),
      element("div", { class: "pair facts" },
        record.length ? element("section", {}, element("h3", {}, "From the catalogue"), list(record)) : null,
        element("section", {}, element("h3", {}, "Where these answers come from"), provenance(work))));
    if (!dialog.open) dialog.showModal();
    dialog.scrollTop = 0;
    dialog.querySelector("#work-title").focus({ preventScroll: true });
  };
  dialog.addEventListener("cancel", event => { event.preventDefault(); gallery.go({ work: null }); });
  dialog.addEventListener("click", event => { if (event.target === dialog) gallery.go({ work: null }); });
  dialog.addEventListener("keydown", event => {
    if (event.target.closest("select, input, .scroller") || event.ctrlKey || event.metaKey || event.altKey) return;
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (by) dialog.querySelector(`[data-step="${by}"]`)?.click();
  });
})(window.gallery);
