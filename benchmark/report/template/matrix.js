// Accuracy matrices: R[i][j] is the accuracy on task j after learning task i, both from 0.

// Beyond this many tasks no number fits into a cell.
const MOST_WRITTEN = 12;

// Up to as many tasks small matrices have numbers on paper, so many beside one another.
const MOST_PRINTED = 20;
const printedAcross = (tasks) => (tasks <= 8 ? 4 : tasks <= 12 ? 3 : tasks <= MOST_PRINTED ? 2 : 5);

function colour(accuracy) {
  return data.colours[Math.round(100 * accuracy)];
}

/** Small pictures of the matrices of the methods shown; each opens the large one. */
function drawMatrices(holder) {
  if (shown.size === 0) return nothing(holder);
  const pictures = shownInOrder().map((k) => {
    const { label, learned, matrix } = data.methods[k];
    const tasks = data.tasks.length;
    const canvas = tasks <= MOST_PRINTED ? numberedPicture(matrix, tasks) : picture(matrix, tasks);
    const name = learned === tasks ? label : `${label} (${learned} of ${tasks} tasks)`;
    const button = html("button", { type: "button", "data-method": k }, canvas, html("span", {}, name));
    button.addEventListener("click", () => openMatrix(k));
    return button;
  });
  const style = `--across: ${printedAcross(data.tasks.length)}`;
  holder.replaceChildren(colourKey(), html("div", { class: "matrices", style }, ...pictures));
}

function picture(matrix, tasks) {
  const canvas = html("canvas", { width: tasks, height: tasks });
  const pen = canvas.getContext("2d");
  matrix.forEach((row, i) =>
    row.forEach((accuracy, j) => {
      if (accuracy === null) return;
      pen.fillStyle = colour(accuracy);
      pen.fillRect(j, i, 1, 1);
    }),
  );
  return canvas;
}

/** The same with numbers, which are seen on paper. */
function numberedPicture(matrix, tasks) {
  const squares = matrix.flatMap((row, i) =>
    row.flatMap((accuracy, j) => {
      if (accuracy === null) return [];
      const number = svg("text", { class: "value", x: j + 0.5, y: i + 0.68, "text-anchor": "middle" }, (100 * accuracy).toFixed(0));
      number.style.fill = accuracy < 0.6 ? "#ffffff" : "#000000";
      return [svg("rect", { x: j, y: i, width: 1.01, height: 1.01, fill: colour(accuracy) }), number];
    }),
  );
  return svg("svg", { class: "small", viewBox: `0 0 ${tasks} ${tasks}`, "aria-hidden": "true" }, ...squares);
}

/** From 0 to 100 %. */
function colourKey() {
  const canvas = html("canvas", { width: data.colours.length, height: 1 });
  const pen = canvas.getContext("2d");
  data.colours.forEach((colour, percent) => {
    pen.fillStyle = colour;
    pen.fillRect(percent, 0, 1, 1);
  });
  return html("div", { class: "key", role: "img", "aria-label": "Colours from 0 to 100 %" }, "0 %", canvas, "100 %");
}

/** Show a method's accuracy matrix as a table that can be read by pointer, by arrow keys and aloud. */
function openMatrix(k) {
  const { label, runs } = data.methods[k];
  const dialog = document.querySelector("dialog");
  dialog.querySelector("h3").textContent = `Accuracy matrix of ${label}`;
  const mean = runs > 1 ? `, mean of ${runs} runs` : "";
  const text = `Accuracy in percent${mean}. Down: after learning each task. Across: the task evaluated.`;
  const table = heatTable(k);
  const scroll = html("div", { class: "scroll" }, table);
  const parts = data.tasks.length > MOST_WRITTEN ? [colourKey(), scroll] : [scroll];
  dialog.querySelector(".body").replaceChildren(html("p", {}, text), ...parts);
  hideTip();
  dialog.showModal();
}

function heatTable(k) {
  const { label, matrix } = data.methods[k];
  const dense = data.tasks.length > MOST_WRITTEN;
  const table = html("table", { class: dense ? "heat dense" : "heat", role: "grid", "aria-label": label });
  const name = (j) => (dense ? numbered(j) : html("span", {}, data.tasks[j]));
  const heading = (scope, j) => html("th", { scope }, name(j));
  const head = html("tr", {}, html("td"), ...data.tasks.map((_, j) => heading("col", j)));
  const rows = matrix.map((row, i) => {
    const cells = data.tasks.map((_, j) => heatCell(row[j] ?? null));
    return html("tr", {}, heading("row", i), ...cells);
  });
  table.append(html("thead", {}, head), html("tbody", {}, ...rows));
  lookAtCells(table, (i, j) => [`${percent(matrix[i][j])} %`, `on ${data.tasks[j]}`, `after ${data.tasks[i]}`]);
  return table;
}

/** A task's number; of many, the round ones are seen. */
function numbered(j) {
  const seen = j === 0 || (j + 1) % 5 === 0;
  return html("span", seen ? {} : { class: "unseen" }, String(j + 1));
}

function heatCell(accuracy) {
  if (accuracy === null) return html("td");
  const cell = html("td", { tabindex: "-1" }, (100 * accuracy).toFixed(0));
  cell.style.background = colour(accuracy);
  cell.style.color = accuracy < 0.6 ? "#ffffff" : "#000000";
  return cell;
}

/** Show the `lines` of text of the cell under the pointer, or that the arrow keys have moved to: its row and column -> text. */
function lookAtCells(table, lines) {
  const rows = [...table.tBodies[0].rows];
  const at = (i, j) => (j < 0 ? undefined : rows[i]?.cells[j + 1]);
  const place = (cell) => [rows.indexOf(cell.parentNode), cell.cellIndex - 1];
  const look = ({ target }) => {
    const cell = target.closest("td[tabindex]");
    if (!cell) return hideTip();
    showTip(cell, lines(...place(cell)));
  };
  at(0, 0)?.setAttribute("tabindex", "0");
  table.addEventListener("pointerover", look);
  table.addEventListener("pointerleave", hideTip);
  table.addEventListener("focusin", look);
  table.addEventListener("focusout", hideTip);
  table.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
    const from = event.target.closest("td[tabindex]");
    if (!step || !from) return;
    event.preventDefault();
    const [i, j] = place(from);
    const to = at(i + step[0], j + step[1]);
    if (!to?.hasAttribute("tabindex")) return;
    from.setAttribute("tabindex", "-1");
    to.setAttribute("tabindex", "0");
    to.focus();
  });
}

function setUpDialog() {
  const dialog = document.querySelector("dialog");
  dialog.querySelector(".close").addEventListener("click", () => dialog.close());
  // Its padding is inside its children, so that a click on itself is one beside it.
  dialog.addEventListener("click", ({ target }) => target === dialog && dialog.close());
  dialog.addEventListener("close", hideTip);
}
