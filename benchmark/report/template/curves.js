// Accuracy over the tasks learned: a line for each method. Where it is a mean, a band from the lowest to the highest, or
// a thin line for each repetition if they are few.

/** Draw the curve called `name`, in `unit`, of each method shown. Returns its points, for `explore`. */
function drawCurves(holder, name, unit) {
  if (shown.size === 0) return nothing(holder);
  const curves = shownInOrder().map((k) => ({ k, ...data.methods[k][name] }));
  const ends = ({ mean, lowest, highest }) => [...mean, ...(lowest ?? []), ...(highest ?? [])];
  const tasks = data.tasks.length;
  const drawn = frame(
    holder,
    taskScale(tasks, plotWidth(holder)),
    // What a task has lost, unlike an accuracy, can be below zero.
    percentScale(curves.flatMap(ends), curves.flatMap(ends).some((value) => value < 0) ? -100 : 0),
    "tasks learned",
  );
  const { root, x, y, clip } = drawn;
  if (name === "average_accuracy") chanceLines(drawn, data.chance.map((curve) => curve.map((level, i) => [i + 1, level])));

  // With many tasks a marker at every point is a caterpillar; staggered, they do not hide one another.
  const every = Math.max(1, Math.floor(tasks / 8));
  return curves.flatMap(({ k, mean, lowest, highest, each }) => {
    const method = data.methods[k];
    const path = (values) => values.map((value, i) => `${x(i + 1).toFixed(2)} ${y(value).toFixed(2)}`);
    const group = mark(k);
    for (const values of each ?? []) {
      const style = { class: "line each", "stroke-dasharray": dashes(method), "clip-path": clip };
      group.append(svg("path", { ...style, d: `M${path(values).join("L")}` }));
    }
    if (lowest && !each) {
      const d = `M${path(highest).join("L")}L${path(lowest).reverse().join("L")}z`;
      group.append(svg("path", { class: "band", d, "clip-path": clip }));
    }
    group.append(svg("path", { class: "line", d: `M${path(mean).join("L")}`, "stroke-dasharray": dashes(method) }));
    root.append(group);
    return mean.map((value, i) => {
      const [across, down] = [x(i + 1), y(value)];
      const text = lowest ? rangeText(value, lowest[i], highest[i], unit) : accuracyText(value, null, unit);
      const element = pointMark(k, across, down, `${method.label}, ${i + 1} of ${tasks} tasks learned: ${text}`);
      element.classList.toggle("between", i % every !== k % every);
      group.append(element);
      const lines = [method.label, `after ${data.tasks[i]}`, text];
      return { element, method: k, x: across, y: down, row: k, column: i, lines };
    });
  });
}
