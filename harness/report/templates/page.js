"use strict";
// Without this script the page says the same. With it tables sort, filters filter and figures answer; what a reader chose
// stands in the address. Whatever comes from records is set as text or compared, never taken as markup or as a selector.

const all = (selector, root = document) => [...root.querySelectorAll(selector)];
const one = (selector, root = document) => root.querySelector(selector);
const SVG = "http://www.w3.org/2000/svg";

function make(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

const on = (target, types, act) => types.split(" ").forEach((type) => target.addEventListener(type, act));

const button = (text, act, attributes = {}) => {
  const made = make("button", { type: "button", ...attributes }, text);
  on(made, "click", act);
  return made;
};

const data = (id) => JSON.parse(document.getElementById(id).textContent);

// --- The state, and the address that holds it: #PLACE?q=…&family=…&hide=…&only=…&column=…&axis=…&sort=TABLE.COLUMN.DIRECTION

const FACETS = ["workload", "budget", "device", "family", "ending"];
const WORDS = ["q", ...FACETS, "axis"], SETS = ["hide", "only", "column"];
let state = parsed("");

function parsed(hash) {
  const [, place, query] = /^#?([^?]*)\??([^]*)$/.exec(hash);
  const params = new URLSearchParams(query), found = { place, sort: new Map() };
  for (const key of WORDS) found[key] = params.get(key) ?? "";
  for (const key of SETS) found[key] = new Set(params.getAll(key));
  for (const sort of params.getAll("sort")) {
    const [table, column, direction] = sort.split(".");
    if (direction === "ascending" || direction === "descending") found.sort.set(table, [column, direction]);
  }
  return found;
}

function written() {
  const params = new URLSearchParams();
  for (const key of WORDS) if (state[key]) params.append(key, state[key]);
  for (const key of SETS) for (const value of state[key]) params.append(key, value);
  for (const [table, sort] of state.sort) params.append("sort", [table, ...sort].join("."));
  return `#${state.place}?${params}`;
}

function change(edit, step = "pushState") {
  edit(state);
  if (written() !== location.hash) history[step](null, "", written());
  show();
}

function arrive() {  // at an address: a link to a place keeps what was chosen, any other says all of it
  const { hash } = location, before = state.place;
  if (hash.length > 1 && !hash.includes("?")) {
    state.place = hash.slice(1);
    history.replaceState(null, "", written());
    return;
  }
  state = parsed(hash);
  show();
  if (state.place && state.place !== before) document.getElementById(state.place)?.scrollIntoView();
}

const toggle = (set, value) => (set.delete(value) ? set : set.add(value));

// --- What is shown of methods and rows

const rows = all(".ranking .rows tr").map((element) => {
  const board = element.closest(".board").dataset, group = element.closest(".group").dataset;
  const { method, family, endings = "done" } = element.dataset;
  const name = element.cells[1];
  const text = `${method} ${one("small", name).firstChild.data ?? ""}`.toLowerCase();
  return { element, method, text, workload: group.workload, device: group.device, budget: board.budget, family, ending: endings.split(" ") };
});

const methods = new Map();  // name → what is searched, and its family; a title may differ from board to board
for (const row of rows) {
  const known = methods.get(row.method);
  methods.set(row.method, { family: row.family, text: known && known.text !== row.text ? `${known.text} ${row.text}` : row.text });
}

const words = () => state.q.toLowerCase().split(/\s+/).filter(Boolean);
const chosen = (method) => (state.only.size ? state.only.has(method) : !state.hide.has(method));
const fits = (facet, value) => !state[facet] || [].concat(value).includes(state[facet]);

function methodShown(name) {
  const known = methods.get(name);
  return chosen(name) && (!known || (words().every((word) => known.text.includes(word)) && fits("family", known.family)));
}

function showRows() {
  const searched = words();
  const isShown = (row) => chosen(row.method) && searched.every((word) => row.text.includes(word)) && FACETS.every((facet) => fits(facet, row[facet]));
  for (const row of rows) row.element.hidden = !isShown(row);
  for (const row of all('[data-table="scaling"] .rows tr')) row.hidden = !methodShown(row.dataset.method);
  for (const section of all("details.method")) section.hidden = !methodShown(section.dataset.method);
  const some = (element) => one(".rows tr:not([hidden])", element) !== null;
  for (const line of all("tbody.line")) line.hidden = !some(line.nextElementSibling);
  for (const board of all(".board[data-track]")) board.hidden = !some(board);
  for (const group of all(".group[data-workload]")) group.hidden = one(".board[data-track]:not([hidden])", group) === null;
  return rows.filter((row) => !row.element.hidden).length;
}

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

const amount = (text) => parseFloat(text.replace(/\u2212/g, "-").replace(/[^\d.+-]/g, ""));

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

// --- Figures: parts that say what they are, methods that hide, an axis that changes

const tip = one(".tip");

function say(text, x, y) {
  tip.textContent = text;
  tip.hidden = !text;
  if (!text) return;
  const { offsetWidth: width, offsetHeight: height } = tip;
  const left = Math.max(4, Math.min(x + 14, innerWidth - width - 4));
  const top = y + 18 + height > innerHeight ? y - height - 12 : y + 18;
  tip.style.transform = `translate(${left}px, ${Math.max(4, top)}px)`;
}

class Figure {
  constructor(svg, live) {
    this.svg = svg;
    this.live = live;
    this.texts = new Map();
    this.at = -1;
    this.parts = all("[data-part]", svg);
    this.numbered = new Map(this.parts.map((part) => [Number(part.dataset.part), part]));
    for (const title of all("title", svg)) {
      if (title.parentNode.dataset?.part) this.texts.set(title.parentNode, title.textContent);
      title.remove();  // else the browser shows it beside ours
    }
    svg.tabIndex = 0;
    svg.setAttribute("role", "group");
    svg.setAttribute("aria-label", `${one("h4", svg.closest("figure")).textContent}. Arrow keys go from value to value.`);
    on(svg, "pointermove pointerdown", (event) => this.point(event));
    on(svg, "pointerleave blur", () => this.leave());
    on(svg, "keydown", (event) => this.key(event));
  }

  near(x, y) {  // the part under the pointer, or within a few pixels of it: lines are thin
    for (const reach of [0, 3, 6]) {
      for (const [dx, dy] of [[0, 0], [reach, 0], [-reach, 0], [0, reach], [0, -reach]]) {
        const found = document.elementFromPoint(x + dx, y + dy)?.closest("[data-part]");
        if (this.texts.has(found)) return found;
      }
    }
    return null;
  }

  point(event) {
    const part = this.near(event.clientX, event.clientY);
    this.light(part?.dataset.method);
    say(part ? this.texts.get(part) : "", event.clientX, event.clientY);
  }

  leave() {
    this.light();
    this.at = -1;
    say("");
  }

  light(method) {
    this.svg.classList.toggle("pointing", method !== undefined);
    for (const part of this.parts) part.classList.toggle("on", method !== undefined && part.dataset.method === method);
  }

  key(event) {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (event.key === "Escape") this.leave();
    if (step) this.step(step, event.key.endsWith("n") || event.key.endsWith("p"));
    if (step) event.preventDefault();
  }

  step(step) {
    const said = this.parts.filter((part) => this.texts.has(part) && !part.classList.contains("off"));
    if (!said.length) return;
    this.at = ((this.at < 0 && step < 0 ? 0 : this.at) + step + said.length) % said.length;
    const part = said[this.at];
    this.light(part.dataset.method);
    this.sayAt(part, this.texts.get(part));
  }

  sayAt(element, text) {
    element.scrollIntoView({ block: "nearest", inline: "nearest" });
    const { left, top, width, height } = element.getBoundingClientRect();
    say(text, left + width / 2, top + height / 2);
  }

  show() {
    for (const part of this.parts) if (part.dataset.method !== undefined) part.classList.toggle("off", !methodShown(part.dataset.method));
  }
}

class Cells extends Figure {  // a grid of values: the cell under the pointer says its own
  constructor(svg, live) {
    super(svg, live);
    this.veils = live.rows.map(() => this.box("veil"));
    this.cell = this.box("cell");
    this.cell.classList.add("off");
  }

  box(name) {
    const made = document.createElementNS(SVG, "rect");
    made.classList.add(name);
    this.svg.append(made);
    return made;
  }

  place(rect, row, column, columns) {
    const [left, top, width, height] = this.live.box, wide = width / this.live.columns.length, high = height / this.live.rows.length;
    const box = { x: left + column * wide, y: top + row * high, width: columns * wide, height: high };
    for (const [name, value] of Object.entries(box)) rect.setAttribute(name, value);
  }

  point(event) {
    const { clientX, clientY } = event, { box: [left, top, width, height], rows, columns, values } = this.live;
    const at = new DOMPoint(clientX, clientY).matrixTransform(this.svg.getScreenCTM().inverse());
    const row = Math.floor(((at.y - top) / height) * rows.length), column = Math.floor(((at.x - left) / width) * columns.length);
    this.leave();
    if (values[row]?.[column] === undefined) super.point(event);
    else say(this.go(row, column), clientX, clientY);
  }

  go(row, column) {
    const value = this.live.values[row][column];
    this.at = [row, column];
    this.place(this.cell, row, column, 1);
    this.cell.classList.remove("off");
    return `${this.live.rows[row]}, ${this.live.columns[column]}: ${value === null ? "no pixels" : `${percent(value, 1)} %`}`;
  }

  step(step, isDown) {
    const { rows, columns } = this.live, turn = (at, by, list) => (at + by + list.length) % list.length;
    const [row, column] = this.at === -1 ? [0, isDown ? 0 : -1] : this.at;
    this.sayAt(this.cell, isDown ? this.go(turn(row, step, rows), column) : this.go(row, turn(column, step, columns)));
  }

  leave() {
    super.leave();
    this.cell.classList.add("off");
  }

  show() {
    super.show();
    this.live.rows.forEach((method, row) => {
      this.place(this.veils[row], row, 0, this.live.columns.length);
      this.veils[row].classList.toggle("off", methodShown(method));
    });
  }
}

const AXES = { hours: "device-hours", images: "images", iterations: "iterations", kwh: "kWh" };

class Frontier extends Figure {  // its spots move to what was spent of something else; see figures/frontier.py for `live`
  constructor(svg, live) {
    super(svg, live);
    this.shown = live.views[0];
    this.title = one("h4", svg.closest("figure"));
    this.buttons = live.views.map((view) => button(AXES[view.name], () => change(() => { state.axis = view === live.views[0] ? "" : view.name; })));
    if (live.views.length > 1) this.title.after(make("div", { class: "axes", role: "group", "aria-label": "horizontal axis" }, "against", ...this.buttons));
  }

  show() {
    super.show();
    const view = this.live.views.find((each) => each.name === state.axis) ?? this.live.views[0];
    this.buttons.forEach((each, at) => each.setAttribute("aria-pressed", this.live.views[at] === view));
    this.spots(view);
    if (view !== this.shown) this.draw(view);
  }

  spots(view) {
    const first = this.live.views[0];
    this.live.spots.forEach((spot, at) => {
      const part = this.numbered.get(spot.part);
      if (view.x[at] === null) part.classList.add("off");
      else part.setAttribute("transform", `translate(${(view.x[at] - first.x[at]).toFixed(2)} 0)`);
    });
  }

  draw(view) {
    const { live } = this, at = (spot) => [view.x[spot], live.spots[spot].y], through = (points) => points.map((point) => point.join(" ")).join("L");
    this.shown = view;
    this.title.textContent = `mIoU against ${AXES[view.name]}`;
    for (const line of live.lines) this.path(line.part, through([...line.spots.filter((spot) => view.x[spot] !== null).map(at), ...line.end]));
    const [start, ...further] = view.front.map(at);
    const names = view.front.map((spot) => this.texts.get(this.numbered.get(live.spots[spot].part)).split(":")[0]);
    if (live.front !== null) this.texts.set(this.numbered.get(live.front), `Pareto front: ${names.join("; ")}`);
    this.path(live.front, start && `${start.join(" ")}${further.map(([x, y]) => `H${x}V${y}`).join("")}H${live.right}`);
    this.path(live.reference, through(view.reference));
    this.path(live.bands, view.bands.map(([left, right]) => `${left} ${live.top}H${right}V${live.bottom}H${left}Z`).join("M"));
    this.ticks(view.ticks);
    const label = one("text", this.numbered.get(live.label));
    if (label) label.textContent = view.label;
  }

  path(part, rest) {
    one(":scope > path", this.numbered.get(part) ?? this.svg)?.setAttribute("d", rest ? `M${rest}` : "");
  }

  ticks(ticks) {
    const holder = this.numbered.get(this.live.ticks), pattern = one("text", holder);
    const texts = ticks.map(([x, text]) => {
      const made = pattern.cloneNode(false);
      made.textContent = text;
      made.setAttribute("x", x);
      return made;
    });
    all("text", holder).forEach((text) => text.remove());
    holder.append(...texts);
  }
}

const live = data("live-data");
const figures = all("svg.figure").map((svg) => {
  const found = live[svg.dataset.figure];
  const kind = found?.kind === "cells" ? Cells : found?.views ? Frontier : Figure;
  return new kind(svg, found);
});

// --- Legends: a click hides or shows a method everywhere, `only` singles it out

function enliven(legend) {
  for (const item of all("li", legend)) {
    const { method } = item.dataset;
    const name = button("", () => change(() => toggle(state.only.size ? state.only : state.hide, method)), { class: "name" });
    const only = button("only", () => change(() => { state.only = state.only.size === 1 && state.only.has(method) ? new Set() : new Set([method]); }), { class: "only", "aria-label": `only ${method}` });
    name.append(...item.childNodes);
    item.append(name, only);
    const near = figures.filter((figure) => item.closest(".group").contains(figure.svg));
    on(item, "pointerenter focusin", () => near.forEach((figure) => figure.light(method)));
    on(item, "pointerleave focusout", () => near.forEach((figure) => figure.light()));
  }
  legend.append(make("li", {}, button("show all", () => change(() => { state.hide.clear(); state.only.clear(); }), { class: "all" })));
}

function showLegends() {
  for (const item of all(".legend li[data-method]")) {
    const { method } = item.dataset;
    one(".name", item).setAttribute("aria-pressed", chosen(method));
    one(".only", item).setAttribute("aria-pressed", state.only.size === 1 && state.only.has(method));
  }
  for (const item of all(".legend .all")) item.parentNode.hidden = !state.hide.size && !state.only.size;
}

// --- Every run: columns of numbers, sorted by an array of places; only the rows in view are in the page

const MINUS = "\u2212", NONE = "\u2013";
const percent = (fraction, digits) => (fraction === null ? NONE : (100 * fraction).toFixed(digits).replace("-", MINUS));
const signed = (fraction) => (fraction === null ? NONE : (fraction > 0 ? "+" : "") + percent(fraction, 2));
const count = (value) => (value === null ? NONE : Math.round(value).toString().replace(/\B(?=(\d{3})+$)/g, "\u202f"));

function duration(seconds) {
  if (seconds === null) return NONE;
  const [size, unit] = seconds >= 172800 ? [86400, "d"] : seconds >= 3600 ? [3600, "h"] : seconds >= 180 ? [60, "min"] : [1, "s"];
  return `${Number((seconds / size).toPrecision(3))} ${unit}`;
}

const unpacked = (column) => column.counts?.flatMap((many, at) => Array(many).fill(column.values[at])) ?? column;  // runs of equal values

class Runs {
  constructor(found, section) {
    Object.assign(this, found);
    this.columns = Object.fromEntries(Object.entries(found.columns).map(([key, column]) => [key, unpacked(column)]));
    this.length = this.columns.method.length;
    const place = (track) => document.getElementById(`track-${track}`);
    this.place = this.boards.map((track) => ({ budget: place(track)?.dataset.budget ?? "", ...place(track)?.closest(".group").dataset }));
    this.shape = this.shapes().filter(([, , , , words]) => !words || words.some(Boolean));
    this.order = Uint32Array.from({ length: this.length }, (_, at) => at);
    this.table(section);
  }

  shapes() {  // key, label, width in em, text of a run, its words or its numbers
    const { columns: of } = this;
    const word = (key, width, list, from = key) => [key, key, width, (at) => list[of[from][at]], list, from];
    const value = (key, width, text, label = key) => [key, label, width, (at) => text(of[key][at]), null, key];
    const board = (key, width) => word(key, width, this.place.map((each) => each[key] ?? ""), "board");
    return [
      word("method", 12, this.methods), board("budget", 8), value("seed", 4.5, String),
      value("miou", 6, (each) => percent(each, 2), "mIoU %"), value("gain", 6, signed), value("planned", 6.5, count),
      value("iterations", 7, count), value("spent", 6.5, duration), word("ending", 8, this.endings), word("marks", 10, this.marks),
      word("reason", 16, this.reasons), board("workload", 9), board("device", 12), word("host", 10, this.hosts),
      ["run", "run", 10, (at) => `${of.key[at]}.${of.attempt[at]}`, null, "key"],
    ];
  }

  table(section) {
    this.heads = this.shape.map(([key, label, , , list]) => {
      const first = list || key === "run" || ["seed", "spent"].includes(key) ? "ascending" : "descending";
      const head = make("th", { scope: "col", "data-column": key, "data-first": first, ...(list && { class: "text" }) });
      head.append(button(label, () => sortBy("runs", head)));
      return head;
    });
    this.widths = make("colgroup");
    this.body = make("tbody");
    this.row = make("tr");
    const table = make("table", { "data-table": "runs", "aria-rowcount": this.length + 1 }, this.widths, make("thead", {}, this.row), this.body);
    this.frame = make("div", { class: "runs", tabindex: 0, role: "region", "aria-label": "Every run" }, table);
    on(this.frame, "scroll", () => requestAnimationFrame(() => this.draw()));
    section.append(this.frame);
  }

  keys(column) {  // numbers that sort as the column does
    const [, , , , list, from] = this.shape.find(([key]) => key === column), values = this.columns[from];
    if (list) return Float64Array.from(values, ranked(list, (at) => at));
    if (column === "run") return Float64Array.from(values, ranked(values, (_, place) => place));
    return Float64Array.from(values, (value) => (value === null ? NaN : value));
  }

  sort() {
    const [column, direction] = state.sort.get("runs") ?? [], wanted = `${column} ${direction}`;
    if (this.sorted === wanted) return;
    this.sorted = wanted;
    const at = this.shape.findIndex(([key]) => key === column), sign = direction === "ascending" ? 1 : -1;
    mark(this.heads, at, direction);
    if (at < 0) return void this.order.sort();
    const start = performance.now(), keys = this.keys(column);
    for (let place = 0; place < keys.length; place++) keys[place] = Number.isNaN(keys[place]) ? Infinity : sign * keys[place];
    this.order.sort((a, b) => (keys[a] === keys[b] ? a - b : keys[a] - keys[b]));
    performance.measure("sort", { start });
  }

  filter() {
    const { columns: of } = this;
    const boards = this.place.map((place) => ["workload", "budget", "device"].every((facet) => fits(facet, place[facet])));
    const shown = this.methods.map(methodShown), endings = this.endings.map((ending) => fits("ending", ending));
    this.found = this.order.filter((at) => boards[of.board[at]] && shown[of.method[at]] && endings[of.ending[at]]);
  }

  show() {
    this.sort();
    this.filter();
    this.visible = this.shape.filter(([key]) => !state.column.has(`runs.${key}`));
    this.widths.replaceChildren(...this.visible.map(([, , width]) => make("col", { style: `width: ${width}em` })));
    this.row.replaceChildren(...this.heads.filter((head) => !state.column.has(`runs.${head.dataset.column}`)));
    this.row.closest("table").style.minWidth = `${this.visible.reduce((sum, [, , width]) => sum + width, 0)}em`;
    this.from = -1;
    this.draw();
    return this.found.length;
  }

  draw() {
    const height = 29, over = 12, { scrollTop, clientHeight } = this.frame;
    const from = Math.max(0, Math.min(Math.floor(scrollTop / height), this.found.length - 1) - over), to = Math.min(this.found.length, from + Math.ceil((clientHeight || 600) / height) + 2 * over);
    if (this.from === from && this.to === to) return;
    [this.from, this.to] = [from, to];
    const space = (rows) => make("tr", { class: "space", "aria-hidden": true, style: `height: ${rows * height}px` }, make("td", { colspan: this.visible.length }));
    this.body.replaceChildren(space(from), ...Array.from(this.found.subarray(from, to), (at, place) => this.line(at, from + place)), space(this.found.length - to));
  }

  line(at, place) {
    const cells = this.visible.map(([key, , , text, list]) => make(key === "method" ? "th" : "td", { ...(list && { class: "text", title: text(at) }), ...(key === "method" && { scope: "row" }) }, text(at)));
    return make("tr", { "aria-rowindex": place + 2 }, ...cells);
  }
}

function ranked(list, keyed) {  // from a word's place in a list to its place in the alphabet; words that are missing come last
  const { compare: before } = new Intl.Collator("en", { numeric: true }), ranks = new Float64Array(list.length);
  Array.from(list.keys()).sort((a, b) => before(list[a], list[b]) || a - b).forEach((at, rank) => { ranks[at] = list[at] === "" ? NaN : rank; });
  return (value, place) => ranks[keyed(value, place)];
}

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
  on(more, "click", () => more.setAttribute("aria-expanded", bar.classList.toggle("open")));
  const heads = (table) => all("thead th", table).map((head) => [head.dataset.column, head.textContent]);
  one(".menu div", bar).append(...columnBoxes("Boards", "boards", heads(one(".ranking"))), ...columnBoxes("Every run", "runs", runs.shape));
  on(document, "pointerdown", (event) => { if (!event.target.closest(".menu")) one(".menu").open = false; });
  on(bar, "keydown", (event) => { if (event.key === "Escape") one(".menu").open = false; });
  bar.hidden = false;
}

function showBar(shownRows, shownRuns, runs) {
  if (search.value !== state.q) search.value = state.q;
  for (const facet of FACETS) {
    bar.elements[facet].value = state[facet];
    bar.elements[facet].classList.toggle("set", state[facet] !== "");
  }
  for (const box of all(".menu input", bar)) box.checked = !state.column.has(box.value);
  told.textContent = `${count(shownRows)} of ${count(rows.length)} rows, ${count(shownRuns)} of ${count(runs.length)} runs`;
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
}

on(window, "hashchange", arrive);
on(window, "resize", () => runs.draw());
if (location.hash.includes("?")) arrive(); else { state = parsed(location.hash); show(); }
