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
    const drawn = all(".board[data-track]").map((board) => board.dataset.track);
    this.rank = this.boards.map((track) => drawn.indexOf(track));
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
    const board = this.columns.board;
    if (at < 0) return void this.order.sort((a, b) => this.rank[board[a]] - this.rank[board[b]] || a - b);
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
