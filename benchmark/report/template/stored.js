// What each method stores after the last task: a bar for each method, of the bytes of each kind.

const ROW = 22;

/** A size in bytes with three digits: "44.7 MB". */
function bytesText(value) {
  const prefixes = ["", "k", "M", "G", "T", "P"];
  let [size, power] = [Math.abs(value), 0];
  while (size >= 999.5 && power < prefixes.length - 1) [size, power] = [size / 1000, power + 1];
  return `${value < 0 ? "\u2212" : ""}${power ? size.toPrecision(3) : size} ${prefixes[power]}B`;
}

/** Draw the bars in `holder`. Returns its points, for `explore`: one for each bar. */
function drawStored(holder) {
  const methods = shownInOrder()
    .map((k) => ({ k, ...data.methods[k] }))
    .filter(({ stored }) => stored !== null);
  if (methods.length === 0) return nothing(holder);
  const sum = (sizes) => sizes.reduce((all, size) => all + size, 0);
  const most = Math.max(...methods.map(({ stored }) => sum(stored)), 1);
  const longest = Math.max(...methods.map(({ label }) => textWidth(label))) + 8;
  // Long names have a line of their own above their bars.
  const above = longest > 0.4 * holder.clientWidth ? 14 : 0;
  const left = above ? 2 : longest;
  const width = Math.max(holder.clientWidth, 200) - left - 70;
  const kinds = data.kinds.map((kind, i) => ({ ...kind, i })).filter(({ i }) => methods.some(({ stored }) => stored[i]));
  const keys = kinds.map(({ name, colour }) => {
    const square = html("span", { class: "square" });
    square.style.background = colour;
    return html("span", {}, square, name);
  });
  const height = (ROW + above) * methods.length;
  const root = svg("svg", { viewBox: `0 0 ${left + width + 70} ${height + 4}` });
  const points = methods.map(({ k, label, stored }, row) => {
    const group = mark(k);
    const y = (ROW + above) * row + 3 + above;
    let start = left;
    for (const { i, colour } of kinds) {
      const size = (width * stored[i]) / most;
      group.append(svg("rect", { class: "kind", x: start, y, width: size, height: ROW - 6, fill: colour }));
      start += size;
    }
    const parts = kinds.filter(({ i }) => stored[i]).map(({ name, i }) => `${name}: ${bytesText(stored[i])}`);
    const lines = [label, `${bytesText(sum(stored))} in all`, ...parts];
    const place = above ? { x: left, y: y - 3 } : { x: left - 6, y: y + 12, "text-anchor": "end" };
    const name = svg("text", place, label);
    const beyond = data.backbone ? bytesText(sum(stored) - data.backbone) : bytesText(sum(stored));
    const element = pointMark(k, start, y + 8, lines.join(", "));
    element.classList.add("between");
    group.append(name, svg("text", { x: start + 6, y: y + 12 }, beyond), element);
    root.append(group);
    return { element, method: k, x: start, y: y + 8, row, column: 0, lines };
  });
  if (data.backbone) {
    const x = left + (width * data.backbone) / most;
    root.append(svg("path", { class: "chance", d: `M${x} 0V${height}` }, svg("title", {}, "the backbone")));
  }
  holder.replaceChildren(html("p", { class: "keys" }, ...keys), root);
  return points;
}
