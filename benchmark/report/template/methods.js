// How methods look, which of them are shown, and which one stands out. A method is known by its place in data.methods.

const shown = new Set(data.methods.keys());

// Whether bands, intervals and single repetitions are drawn.
let spreadShown = true;

function shownInOrder() {
  return [...shown].sort((a, b) => a - b);
}

// Matplotlib's markers, around the origin.
const MARKERS = {
  o: "M-3.5 0a3.5 3.5 0 1 0 7 0a3.5 3.5 0 1 0-7 0z",
  s: "M-3.2-3.2h6.4v6.4h-6.4z",
  "^": "M0-4L3.8 3H-3.8z",
  v: "M0 4L3.8-3H-3.8z",
  "<": "M-4 0L3-3.8V3.8z",
  ">": "M4 0L-3-3.8V3.8z",
  D: "M0-4.4L4.4 0L0 4.4L-4.4 0z",
  d: "M0-4.8L2.8 0L0 4.8L-2.8 0z",
  P: "M-1.4-4h2.8v2.6H4v2.8H1.4V4h-2.8V1.4H-4v-2.8h2.6z",
  X: "M0-2L2-4L4-2L2 0L4 2L2 4L0 2L-2 4L-4 2L-2 0L-4-2L-2-4z",
  p: "M0-4L3.8-1.2L2.4 3.2H-2.4L-3.8-1.2z",
  h: "M0-4L3.5-2V2L0 4L-3.5 2V-2z",
  "*": "M0-5L1.2-1.6L4.8-1.5L1.9.6L2.9 4L0 2L-2.9 4L-1.9.6L-4.8-1.5L-1.2-1.6z",
};

const LINE_WIDTH = 1.75;

function dashes(method) {
  return method.dash.map((length) => length * LINE_WIDTH).join(" ") || "none";
}

/** A group for all that is drawn of a method, in its colour. */
function mark(k, ...children) {
  const group = svg("g", { class: "mark", "data-method": k }, ...children);
  group.style.color = data.methods[k].colour;
  return group;
}

/** A short piece of a method's line, with its marker. */
function swatch(k) {
  const method = data.methods[k];
  const line = svg("path", { class: "line", d: "M0 6H28", "stroke-dasharray": dashes(method) });
  const marker = svg("path", { class: "point", d: MARKERS[method.marker], transform: "translate(14 6)" });
  const picture = svg("svg", { class: "swatch", viewBox: "0 0 28 12", "aria-hidden": "true" }, line, marker);
  picture.style.color = method.colour;
  return picture;
}

/** Let one method stand out in all charts, or none. */
function highlight(k) {
  const alone = k !== null && shown.has(k);
  for (const group of document.querySelectorAll(".mark")) {
    const own = Number(group.dataset.method) === k;
    group.classList.toggle("lit", alone && own);
    group.classList.toggle("faded", alone && !own);
  }
}

/** The list of methods with a box each; `changed` is called whenever others are shown. */
function buildLegend(changed) {
  const choice = document.querySelector(".choice");
  choice.hidden = data.methods.length === 0;
  const boxes = data.methods.map((_, k) => {
    const box = html("input", { type: "checkbox", autocomplete: "off", "data-method": k });
    box.checked = true;
    return box;
  });
  const items = boxes.map((box, k) => legendItem(box, k));
  choice.querySelector("ul").append(...items);

  const spread = html("input", { type: "checkbox", autocomplete: "off" });
  choice.querySelector(".spread").append(html("label", {}, spread, "Bands, intervals and single repetitions"));
  const update = () => {
    spreadShown = spread.checked;
    boxes.forEach((box, k) => {
      if (box.checked) shown.add(k);
      else shown.delete(k);
      items[k].classList.toggle("off", !box.checked);
    });
    keepChoice();
    changed();
  };
  const kept = keptChoice();
  boxes.forEach((box, k) => (box.checked = !kept.hidden.includes(data.methods[k].label)));
  spread.checked = kept.spread;
  choice.addEventListener("change", update);
  for (const button of choice.querySelectorAll("[data-show]")) {
    button.addEventListener("click", () => {
      boxes.forEach((box) => (box.checked = button.dataset.show === "all"));
      update();
    });
  }
  update();
}

// The choice is kept for this page, so that it is still there when the page is loaded again. A browser may refuse that.
const KEPT = `continual-benchmark ${location.pathname}`;

function keptChoice() {
  const all = { hidden: [], spread: true };
  try {
    return { ...all, ...JSON.parse(localStorage.getItem(KEPT)) };
  } catch {
    return all;
  }
}

function keepChoice() {
  const hidden = data.methods.filter((_, k) => !shown.has(k)).map(({ label }) => label);
  try {
    if (hidden.length || !spreadShown) localStorage.setItem(KEPT, JSON.stringify({ hidden, spread: spreadShown }));
    else localStorage.removeItem(KEPT);
  } catch {
    // Then the choice is for now only.
  }
}

/** A lower triangle of squares. */
function matrixIcon() {
  const squares = svg("path", { d: "M0 0h3v3h-3zM0 4h3v3h-3zM4 4h3v3h-3zM0 8h3v3h-3zM4 8h3v3h-3zM8 8h3v3h-3z" });
  return svg("svg", { viewBox: "0 0 11 11", "aria-hidden": "true" }, squares);
}

function legendItem(box, k) {
  const { label } = data.methods[k];
  const title = `Accuracy matrix of ${label}`;
  const open = html("button", { type: "button", class: "open", "aria-label": title, title }, matrixIcon());
  open.addEventListener("click", () => openMatrix(k));
  const item = html("li", {}, html("label", {}, box, swatch(k), html("span", {}, label)), open);
  item.addEventListener("pointerenter", () => highlight(k));
  item.addEventListener("pointerleave", () => highlight(null));
  item.addEventListener("focusin", () => highlight(k));
  item.addEventListener("focusout", () => highlight(null));
  return item;
}

/** In the tables, a method's name opens its accuracy matrix. */
function linkNames() {
  const places = new Map(data.methods.map((method, k) => [method.label, k]));
  for (const table of document.querySelectorAll(".numbers")) {
    if (table.tHead.rows[0].cells[0].textContent.trim() !== "Method") continue;
    for (const { cells } of table.tBodies[0].rows) {
      const k = places.get(cells[0].textContent);
      if (k === undefined) continue;
      const attributes = { type: "button", class: "method", title: "Accuracy matrix" };
      const name = html("button", attributes, ...cells[0].childNodes);
      name.addEventListener("click", () => openMatrix(k));
      cells[0].append(html("div", { class: "named" }, swatch(k), name));
    }
  }
}
