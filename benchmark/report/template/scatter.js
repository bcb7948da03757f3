// Accuracy after the last task against a cost: a point for each method, labelled where there is room.

/** Draw accuracy against the cost called `name`. Returns its points, for `explore`. */
function drawScatter(holder, name, xTitle) {
  const methods = shownInOrder()
    .map((k) => ({ k, ...data.methods[k] }))
    .filter((method) => method.accuracy !== null && method[name] !== null);
  if (methods.length === 0) return nothing(holder);
  const reach = methods.flatMap(({ accuracy, interval }) => within(accuracy, interval));
  const { root, x, y, box, clip } = frame(
    holder,
    costScale(methods.map((method) => Math.max(0, method[name]))),
    percentScale(reach),
    xTitle,
  );
  const points = methods.map((method) => {
    const { k, label, accuracy, interval } = method;
    const [across, down] = [x(Math.max(0, method[name])), y(accuracy)];
    const group = mark(k);
    if (interval !== null) {
      const d = `M${across} ${y(accuracy - interval)}V${y(accuracy + interval)}`;
      group.append(svg("path", { class: "interval", d, "clip-path": clip }));
    }
    const cost = `${xTitle}: ${Number(method[name].toPrecision(3))}`;
    const lines = [label, accuracyText(accuracy, interval), cost];
    const element = pointMark(k, across, down, lines.join(", "));
    group.append(element);
    root.append(group);
    return { element, group, method: k, x: across, y: down, row: 0, column: 0, lines, text: label };
  });
  label(points, box);
  return points;
}

/** Write each point's text beside it, where it hides neither a point nor another text; else leave it out. */
function label(points, area) {
  const taken = points.map(({ x, y }) => ({ left: x - 6, right: x + 6, top: y - 6, bottom: y + 6 }));
  const overlaps = (a, b) => a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;
  for (const { group, x, y, text } of [...points].sort((a, b) => a.y - b.y)) {
    const width = textWidth(text);
    // Right, left, and above or below of either.
    const places = [0, -11, 11, -20, 20].flatMap((down) => [
      { left: x + 8, top: y + down - 7 },
      { left: x - 8 - width, top: y + down - 7 },
    ]);
    const boxes = places.map(({ left, top }) => ({ left, top, right: left + width, bottom: top + 14 }));
    const fits = ({ left, top, right, bottom }) =>
      left >= area.left && top >= 0 && right <= area.right + MARGIN.right && bottom <= area.bottom;
    const box = boxes.find((box) => fits(box) && !taken.some((other) => overlaps(box, other)));
    if (!box) continue;
    taken.push(box);
    group.append(svg("text", { class: "label", x: box.left, y: box.bottom - 3, "aria-hidden": "true" }, text));
  }
}
