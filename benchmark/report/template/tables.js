// Tables of numbers: a button in each header sorts the rows.

const ORDERS = {
  numbers: ["descending", "ascending", null],
  names: ["ascending", "descending", null],
};

/** Sort by a header's column: one way, the other way, and as it was. */
function makeSortable(table) {
  const body = table.tBodies[0];
  const rows = [...body.rows];
  const headers = [...table.tHead.rows[0].cells];
  headers.forEach((header, column) => {
    const kind = rows.some((row) => "value" in row.cells[column].dataset) ? "numbers" : "names";
    const button = html("button", { type: "button" }, ...header.childNodes);
    button.addEventListener("click", () => {
      const orders = ORDERS[kind];
      const order = orders[(orders.indexOf(header.getAttribute("aria-sort")) + 1) % orders.length];
      headers.forEach((other) => other.removeAttribute("aria-sort"));
      if (order) header.setAttribute("aria-sort", order);
      body.append(...(order ? sorted(rows, column, kind, order) : rows));
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
