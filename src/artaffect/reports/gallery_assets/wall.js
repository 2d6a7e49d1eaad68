// The wall: only the tiles in view exist, so that any number of works scrolls smoothly.
"use strict";
if (window.gallery) (gallery => {
  const { cultures, labels, nCultures, element, NONE } = gallery;
  const wall = document.querySelector("#wall");
  const LINES = Math.min(nCultures, 3), GAP = 20, AHEAD = 600;
  let shown = [], tiles = new Map(), current = 0, grid = null;

  // cultures with the same most likely label share a line
  gallery.feelings = work => {
    const groups = new Map();
    for (let c = 0; c < nCultures; c++) {
      const top = gallery.top(work, c);
      if (top !== NONE) groups.set(top, [...(groups.get(top) ?? []), c]);
    }
    return [...groups].sort((a, b) => b[1].length - a[1].length);
  };

  function feelingLines(work) {
    const groups = gallery.feelings(work), lines = groups.slice(0, groups.length > LINES ? LINES - 1 : LINES);
    const nodes = lines.map(([label, members]) => {
      const everybody = members.length === nCultures;
      const names = everybody && nCultures > 1 ? "all cultures" : members.map(c => cultures[c].name).join(", ");
      return element("span", { class: "feeling" }, element("i", { class: "swatch", style: `--label: ${labels[label].colour}` }),
        element("b", {}, labels[label].name), nCultures > 1 ? element("span", { class: "who" }, ` ${names}`) : null);
    });
    if (groups.length > lines.length) nodes.push(element("span", { class: "feeling who" }, `and ${groups.length - lines.length} more`));
    return nodes;
  }

  gallery.thumbnail = work => {
    const mat = element("span", { class: "mat" }), image = gallery.image(work);
    const instead = text => mat.replaceChildren(element("span", { class: "no-image" }, text));
    if (image === null) instead("no image");
    else {
      const node = element("img", { src: image, alt: "", loading: "lazy", decoding: "async", referrerpolicy: "no-referrer" });
      node.addEventListener("error", () => instead("image not available"));
      mat.append(node);
    }
    return mat;
  };

  function makeTile(position) {
    const work = shown[position];
    const link = element("a", { href: gallery.link({ work }), tabindex: position === current ? 0 : -1, "data-position": position },
      gallery.thumbnail(work), element("span", { class: "name", dir: "auto" }, gallery.title(work)), ...feelingLines(work));
    return element("li", { "aria-setsize": shown.length, "aria-posinset": position + 1 }, link);
  }

  function measure() {
    const width = wall.clientWidth, columns = Math.max(2, Math.floor((width + GAP) / (180 + GAP)));
    const side = (width - GAP * (columns - 1)) / columns;
    const size = parseFloat(getComputedStyle(document.documentElement).fontSize);
    const mat = Math.round(Math.min(side, 260));
    return { columns, side, mat, height: Math.round(mat + size * (2.1 + 1.2 * LINES)) + GAP };
  }

  // ahead: how far beyond the window tiles are made, in pixels
  function draw(top = wall.getBoundingClientRect().top, ahead = AHEAD) {
    const { columns, side, height } = grid;
    const first = Math.max(0, Math.floor((-top - ahead) / height)) * columns;
    const last = Math.min(shown.length, Math.ceil((innerHeight - top + ahead) / height) * columns);
    for (const [position, tile] of tiles) {
      if (position < first || position >= last) { tile.remove(); tiles.delete(position); }
    }
    for (let position = first; position < last; position++) {
      if (tiles.has(position)) continue;
      const tile = makeTile(position), row = Math.floor(position / columns);
      tile.style.cssText = `inset-inline-start: ${(position % columns) * (side + GAP)}px; top: ${row * height}px; width: ${side}px; height: ${height - GAP}px`;
      tiles.set(position, tile);
      // the order of the document is the order of the wall
      const next = tiles.size > 1 && position < +wall.lastChild.firstChild.dataset.position
        ? [...wall.children].find(node => +node.firstChild.dataset.position > position) : null;
      wall.insertBefore(tile, next);
    }
    if (!tiles.has(current) && tiles.size) wall.firstChild.firstChild.tabIndex = 0;
  }

  gallery.showWall = works => {
    shown = works;
    current = 0;
    tiles = new Map();
    const top = wall.getBoundingClientRect().top;
    wall.replaceChildren();
    layOut(Math.max(0, top));
    if (top < 0) document.querySelector("#results").scrollIntoView({ behavior: "instant" });
  };
  // what is in view comes first, and what is beyond with the next frame
  function layOut(top = wall.getBoundingClientRect().top) {
    grid = measure();
    wall.style.setProperty("--mat", `${grid.mat}px`);
    wall.style.height = `${Math.ceil(shown.length / grid.columns) * grid.height}px`;
    for (const tile of tiles.values()) tile.remove();
    tiles = new Map();
    draw(top, 0);
    requestAnimationFrame(() => setTimeout(draw));
  }
  gallery.neighbour = (work, step) => {
    const position = shown.indexOf(work);
    return position < 0 ? null : shown[position + step] ?? null;
  };
  gallery.place = work => [shown.indexOf(work) + 1, shown.length];
  gallery.focusOn = work => { const position = shown.indexOf(work); if (position >= 0) moveTo(position); };

  function moveTo(position) {
    const old = tiles.get(current);
    if (old) old.firstChild.tabIndex = -1;
    current = Math.max(0, Math.min(shown.length - 1, position));
    const row = Math.floor(current / grid.columns), top = wall.getBoundingClientRect().top + row * grid.height;
    const head = document.querySelector("#bar").offsetHeight + 8;
    if (top < head) scrollBy({ top: top - head, behavior: "instant" });
    else if (top + grid.height > innerHeight) scrollBy({ top: top + grid.height - innerHeight, behavior: "instant" });
    draw();
    const link = tiles.get(current)?.firstChild;
    if (link) { link.tabIndex = 0; link.focus({ preventScroll: true }); }
  }
  wall.addEventListener("focusin", event => {
    const link = event.target.closest("a");
    if (!link || +link.dataset.position === current) return;
    const old = tiles.get(current);
    if (old) old.firstChild.tabIndex = -1;
    current = +link.dataset.position;
    link.tabIndex = 0;
  });
  wall.addEventListener("keydown", event => {
    const rows = Math.max(1, Math.floor(innerHeight / grid.height));
    const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -grid.columns, ArrowDown: grid.columns,
      PageUp: -rows * grid.columns, PageDown: rows * grid.columns, Home: -current, End: shown.length - 1 - current }[event.key];
    if (step === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    moveTo(current + step);
  });
  let pending = false;
  addEventListener("scroll", () => {
    if (pending) return;
    pending = true;
    requestAnimationFrame(() => { pending = false; draw(); });
  }, { passive: true });
  new ResizeObserver(() => { if (grid && wall.clientWidth !== grid.width) { layOut(); grid.width = wall.clientWidth; } }).observe(wall);
})(window.gallery);
