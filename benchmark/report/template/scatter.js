// Accuracy after the last task against a cost: a point for each method with its label, and beside it the answer that
// differs in knowing the task, if there is one. Hollow points are without the task oracle.

/** Draw accuracy against the cost called `name`. Returns its points, for `explore`. */
function drawScatter(holder, name, xTitle) {
  const known = ({ accuracy, [name]: cost }) => accuracy !== null && cost !== null;
  const methods = shownInOrder()
    .map((k) => ({ k, ...data.methods[k] }))
    .filter(known);
  if (methods.length === 0) return nothing(holder);
  const others = methods.map(({ other }) => (other && known(other) ? other : null));
  const beside = others.filter((other) => other !== null);
  const reach = methods.flatMap(({ accuracy, interval, repeated }) =>
    spreadShown ? [...within(accuracy, interval), ...repeated] : [accuracy],
  );
  const drawn = frame(
    holder,
    costScale([...methods, ...beside].map((spot) => Math.max(0, spot[name]))),
    percentScale([...reach, ...beside.map(({ accuracy }) => accuracy)]),
    xTitle,
    Math.min(22 * methods.length, 480),
  );
  const { root, x, y, box, clip } = drawn;
  const level = (curve) => [box.left, box.right].map((edge) => [edge, curve.at(-1)]);
  chanceLines(holder, { ...drawn, x: (edge) => edge }, data.chance.map(level));
  const points = methods.flatMap((method, i) => {
    const { k, label, accuracy, interval, repeated } = method;
    const group = mark(k);
    const across = x(Math.max(0, method[name]));
    const vertical = (low, high) => `M${across} ${y(low)}V${y(high)}`;
    if (spreadShown && interval !== null) {
      const d = vertical(accuracy - interval, accuracy + interval);
      group.append(svg("path", { class: "interval", d, "clip-path": clip }));
    }
    if (spreadShown && repeated.length > 1) {
      group.append(...repeated.map((value) => svg("circle", { class: "repetition", cx: across, cy: y(value), r: 1.5 })));
    }
    const other = others[i];
    if (other) {
      const line = { x1: across, y1: y(accuracy), x2: x(Math.max(0, other[name])), y2: y(other.accuracy) };
      group.append(svg("line", { class: "beside", ...line }));
    }
    root.append(group);
    return [method, ...(other ? [other] : [])].map((spot) => {
      const [right, down] = [x(Math.max(0, spot[name])), y(spot.accuracy)];
      const text = spot === method ? spreadText(accuracy, interval, repeated) : accuracyText(spot.accuracy, null);
      const oracle = other ? [spot.oracle ? "with the task oracle" : "without the task oracle"] : [];
      const said = [label, text, ...oracle, `${xTitle}: ${Number(spot[name].toPrecision(3))}`];
      const element = pointMark(k, right, down, said.join(", "));
      element.classList.toggle("hollow", !spot.oracle);
      group.append(element);
      const written = spot === method ? label : null;
      return { element, group, method: k, x: right, y: down, row: 0, column: 0, lines: said, text: written };
    });
  });
  writeLabels(points, box);
  return points;
}

/** An accuracy with its interval, or with the lowest and the highest of a few repetitions. */
function spreadText(accuracy, interval, repeated) {
  if (repeated.length < 2) return accuracyText(accuracy, interval);
  return rangeText(accuracy, Math.min(...repeated), Math.max(...repeated), "%");
}

// How far from its point a label may stand, in pixels, and in which directions: beside it first.
const RINGS = [8, 16, 26, 38, 52, 68, 86, 106, 128, 152];
const TURNS = [0, 180, 25, -25, 155, -155, 60, -60, 120, -120].map((degrees) => (degrees * Math.PI) / 180);

/** Write each point's text near it, where it hides neither a point nor another text, with a line to it if it is far. */
function writeLabels(points, area) {
  const taken = points.map(({ x, y }) => ({ left: x - 6, right: x + 6, top: y - 6, bottom: y + 6 }));
  const overlaps = (a, b) => a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;
  const fits = ({ left, top, right, bottom }) =>
    left >= area.left && top >= 0 && right <= area.right + MARGIN.right && bottom <= area.bottom;
  for (const { group, x, y, text } of points.filter(({ text }) => text !== null).sort((a, b) => a.y - b.y)) {
    const width = textWidth(text);
    const boxes = RINGS.flatMap((reach) =>
      TURNS.map((turn) => {
        // `reach` is the distance of the label's nearest edge, not of its middle.
        const left = x + reach * Math.cos(turn) - (width * (1 - Math.cos(turn))) / 2;
        const top = y - reach * Math.sin(turn) - 7 - 7 * Math.sin(turn);
        return { left, top, right: left + width, bottom: top + 14, far: reach > RINGS[1] };
      }),
    );
    const box = boxes.find((box) => fits(box) && !taken.some((other) => overlaps(box, other)));
    if (!box) continue;
    taken.push(box);
    const end = { x2: Math.min(Math.max(x, box.left), box.right), y2: Math.min(Math.max(y, box.top), box.bottom) };
    if (box.far) group.append(svg("line", { class: "leader", x1: x, y1: y, ...end }));
    group.append(svg("text", { class: "label", x: box.left, y: box.bottom - 3, "aria-hidden": "true" }, text));
  }
}
