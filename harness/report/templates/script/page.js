// --- The bar

const bar = one(".bar"), search = one("input", bar), told = one("output", bar);

function fillBar(runs) {
  for (const facet of FACETS) {
    const values = [...new Set(rows.flatMap((row) => row[facet]))].filter(Boolean), select = bar.elements[facet];
    select.append(...values.map((value) => make("option", { value }, value)));
    if (values.length < 2) select.hidden = true;
    on(select, "change", () => change(() => { state[facet] = select.value; }));
  }
  on(search, "input", () => change(() => { state.q = search.value; }, "replaceState"));
  on(bar, "submit", (event) => event.preventDefault());
  on(bar, "reset", (event) => { event.preventDefault(); change(() => { state = parsed(`${state.place}?`); }); });
  const more = one(".more", bar);
  on(more, "click", () => { more.setAttribute("aria-expanded", bar.classList.toggle("open")); makeRoom(); });
  const heads = (table) => all("thead th", table).map((head) => [head.dataset.column, head.textContent]);
  one(".menu div", bar).append(...columnBoxes("Boards", "boards", heads(one(".ranking"))), ...columnBoxes("Every run", "runs", runs.shape));
  on(document, "pointerdown", (event) => { if (!event.target.closest(".menu")) one(".menu").open = false; });
  on(bar, "keydown", (event) => { if (event.key === "Escape") one(".menu").open = false; });
  bar.hidden = false;
  makeRoom();
}

function makeRoom() {  // what a link leads to stands below the bar, however many lines that has
  document.documentElement.style.scrollPaddingTop = `${bar.offsetHeight + 14}px`;
}

function showBar(shownRows, shownRuns, runs) {
  if (search.value !== state.q) search.value = state.q;
  for (const facet of FACETS) {
    bar.elements[facet].value = state[facet];
    bar.elements[facet].classList.toggle("set", state[facet] !== "");
  }
  for (const box of all(".menu input", bar)) box.checked = !state.column.has(box.value);
  const scope = state.budget || state.ending ? "; figures show all budgets and endings" : "";
  told.textContent = `${count(shownRows)} of ${count(rows.length)} rows, ${count(shownRuns)} of ${count(runs.length)} runs${scope}`;
  one(".nothing").hidden = shownRows > 0;
}

// --- All together

document.head.append(hiding);
document.documentElement.classList.add("alive");
for (const figures of all(".figures")) {
  const legend = one(".legend", figures.closest(".group")).cloneNode(true);
  figures.prepend(legend);
}
all(".legend").forEach(enliven);
const runs = new Runs(data("runs-data"), document.getElementById("runs"));
for (const table of tables) for (const head of table.heads) on(one("button", head), "click", () => sortBy(table.name, head));
fillBar(runs);

function show() {
  for (const facet of FACETS) if (![...bar.elements[facet].options].some(({ value }) => value === state[facet])) state[facet] = "";
  const shownRows = showRows();
  tables.forEach(sortTable);
  showColumns();
  figures.forEach((figure) => figure.show());
  showLegends();
  showBar(shownRows, runs.show(), runs);
  makeRoom();
}

on(window, "hashchange", arrive);
on(window, "resize", () => { makeRoom(); runs.draw(); });
if (location.hash.includes("?")) arrive(); else { state = parsed(location.hash); show(); }
