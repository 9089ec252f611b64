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
    const tells = (part) => !part.classList.contains("off") && /\d/.test(this.texts.get(part) ?? "") && this.texts.get(part) !== part.dataset.method;
    const said = this.parts.filter(tells).filter((part, at, list) => at === 0 || this.texts.get(part) !== this.texts.get(list[at - 1]));
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
    this.front(view);
  }

  front(view) {  // of the methods that are shown
    const { live } = this, front = [];
    const isShown = (at) => !this.numbered.get(live.spots[at].part).classList.contains("off");
    for (const rank of view.ranks) {
      const best = rank.filter(isShown).at(-1);
      if (best !== undefined && (!front.length || live.spots[best].y < live.spots[front.at(-1)].y)) front.push(best);
    }
    const [start, ...further] = front.map((at) => [view.x[at], live.spots[at].y]);
    const names = front.map((at) => this.texts.get(this.numbered.get(live.spots[at].part)).split(":")[0]);
    if (live.front !== null) this.texts.set(this.numbered.get(live.front), `Pareto front: ${names.join("; ")}`);
    this.path(live.front, start && `${start.join(" ")}${further.map(([x, y]) => `H${x}V${y}`).join("")}H${live.right}`);
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
    this.path(live.reference, through(view.reference));
    this.path(live.bands, view.bands.map(([left, right]) => `${left} ${live.top}H${right}V${live.bottom}H${left}Z`).join("M"));
    this.ticks(view.ticks);
    const label = one("text", this.numbered.get(live.label));
    if (label) label.textContent = view.label;
  }

  path(part, rest) {
    const holder = this.numbered.get(part);
    if (holder) one(":scope > path", holder)?.setAttribute("d", rest ? `M${rest}` : "");
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
