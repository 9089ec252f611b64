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
    reveal(state.place);
    return;
  }
  state = parsed(hash);
  show();
  if (state.place && state.place !== before) reveal(state.place);
}

function reveal(place) {  // also what a filter hides, until the next choice
  const target = document.getElementById(place);
  for (let each = target; each; each = each.parentElement) {
    if (each.hidden && !each.closest(".bar")) each.hidden = false;
    if (each.matches("details")) each.open = true;
  }
  target?.scrollIntoView();
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
