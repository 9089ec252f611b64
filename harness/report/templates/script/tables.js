// --- Sorting of what is in the page

const tables = all("table[data-table]").map((table) => ({
  name: table.dataset.table,
  heads: all("thead th", table),
  drawn: all("thead th", table).map((head) => head.getAttribute("aria-sort")),
  bodies: all("tbody.rows", table).map((body) => ({ body, rows: [...body.rows] })),
  sorted: "",
}));

function next(head) {  // a column's better end first, then the other, then as it was
  const { column, first } = head.dataset, now = head.getAttribute("aria-sort");
  if (!now) return [column, first];
  return now === first ? [column, first === "ascending" ? "descending" : "ascending"] : null;
}

function sortBy(name, head) {
  const sort = next(head);
  change(() => (sort ? state.sort.set(name, sort) : state.sort.delete(name)));
}

const amount = (text) => parseFloat(/[+-]?\d+(\.\d+)?(e[+-]?\d+)?/.exec(text.replace(/\u2212/g, "-").replace(/\s/g, ""))?.[0]);

function keyOf(row, at, isText) {
  const cell = row.cells[at];
  return isText ? (one("b", cell) ?? cell).textContent.trim() : amount(cell.firstChild?.data ?? "");
}

function compare(x, y, sign) {  // what is missing comes last, either way
  if (typeof x === "string") return sign * x.localeCompare(y);
  return Number.isNaN(x) || Number.isNaN(y) ? Number.isNaN(x) - Number.isNaN(y) : sign * (x - y);
}

function sortTable(table) {
  const [column, direction] = state.sort.get(table.name) ?? [];
  if (table.sorted === `${column} ${direction}`) return;
  table.sorted = `${column} ${direction}`;
  const at = table.heads.findIndex((head) => head.dataset.column === column);
  mark(table.heads, at, direction, table.drawn);
  const isText = at >= 0 && table.heads[at].classList.contains("text"), sign = direction === "ascending" ? 1 : -1;
  for (const { body, rows } of table.bodies) {
    const keyed = rows.map((row) => ({ row, key: at < 0 ? 0 : keyOf(row, at, isText) }));
    if (at >= 0) keyed.sort((a, b) => compare(a.key, b.key, sign));
    body.append(...keyed.map(({ row }) => row));
  }
}

function mark(heads, at, direction, otherwise = []) {
  heads.forEach((head, place) => {
    const sort = at < 0 ? otherwise[place] : place === at && direction;
    if (sort) head.setAttribute("aria-sort", sort); else head.removeAttribute("aria-sort");
  });
}

// --- Columns: one sheet of rules hides them in all boards

const hiding = make("style");

function showColumns() {
  const heads = all("thead th", one(".ranking"));
  const gone = heads.map((head, at) => (state.column.has(`boards.${head.dataset.column}`) ? at + 1 : 0)).filter(Boolean);
  hiding.textContent = gone.map((at) => `.ranking tr > :nth-child(${at}):not([colspan]) { display: none; }`).join("\n");
}

function columnBoxes(title, name, heads) {
  const boxes = heads.map(([column, label]) => {
    const box = make("input", { type: "checkbox", value: `${name}.${column}` });
    on(box, "change", () => change(() => toggle(state.column, box.value)));
    return make("label", {}, box, label);
  });
  return [make("b", {}, title), ...boxes];
}
