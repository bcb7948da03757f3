// Tables of numbers: a button in each header sorts the rows.

const ORDERS = {
  numbers: ["descending", "ascending", null],
  names: ["ascending", "descending", null],
};

const ORDER_TEXTS = { descending: "the highest first", ascending: "the lowest first" };
const NAME_TEXTS = { descending: "from Z to A", ascending: "from A to Z" };

/** Sort by a header's column: one way, the other way, and in the order of the run. */
function makeSortable(table) {
  const body = table.tBodies[0];
  const rows = [...body.rows];
  const headers = [...table.tHead.rows[0].cells];
  const asRun = [...rows].sort((a, b) => a.dataset.place - b.dataset.place);
  const said = table.closest(".scroll").previousElementSibling;
  headers.forEach((header, column) => {
    const kind = rows.some((row) => "value" in row.cells[column].dataset) ? "numbers" : "names";
    const button = html("button", { type: "button" }, ...header.childNodes);
    button.addEventListener("click", () => {
      const orders = ORDERS[kind];
      const order = orders[(orders.indexOf(header.getAttribute("aria-sort")) + 1) % orders.length];
      headers.forEach((other) => other.removeAttribute("aria-sort"));
      if (order) header.setAttribute("aria-sort", order);
      body.append(...(order ? sorted(asRun, column, kind, order) : asRun));
      if (!said.matches(".order")) return;
      const how = (kind === "names" ? NAME_TEXTS : ORDER_TEXTS)[order];
      said.textContent = order ? `Sorted by ${button.textContent.trim()}, ${how}.` : "In the order of the run.";
    });
    header.append(button);
  });
}

/** Rows by the values of a column; those without any come last, either way. */
function sorted(rows, column, kind, order) {
  const sign = order === "ascending" ? 1 : -1;
  const names = new Intl.Collator("en", { numeric: true });
  const known = rows.filter((row) => kind === "names" || "value" in row.cells[column].dataset);
  const number = (row) => Number(row.cells[column].dataset.value);
  const name = (row) => row.cells[column].textContent.trim();
  const compare = {
    numbers: (a, b) => number(a) - number(b),
    names: (a, b) => names.compare(name(a), name(b)),
  }[kind];
  const rest = rows.filter((row) => !known.includes(row));
  return [...known.sort((a, b) => sign * compare(a, b)), ...rest];
}

/** Hide the rows of methods that are not shown, and say so at each table that has such rows. */
function followChoice() {
  const hidden = new Set(data.methods.filter((_, k) => !shown.has(k)).map(({ label }) => label));
  for (const row of document.querySelectorAll("tr[data-label]")) row.hidden = hidden.has(row.dataset.label);
  for (const table of document.querySelectorAll("table:has(tr[data-label])")) {
    const area = table.closest(".scroll");
    if (area.nextElementSibling?.matches(".filtered")) area.nextElementSibling.remove();
    const rows = [...table.tBodies[0].rows];
    const left = rows.filter((row) => !row.hidden).length;
    if (left < rows.length) area.after(filterNote(left, rows.length));
  }
}

function filterNote(left, all) {
  const button = html("button", { type: "button" }, "Show all");
  button.addEventListener("click", () => document.querySelector(".choice [data-show=all]").click());
  return html("p", { class: "filtered" }, `${left} of ${all} rows: those of the `, html("a", { href: "#figures" }, "methods shown"), ". ", button);
}
