// Accuracy over the tasks learned: a line for each method. Where it is a mean, a band from the lowest to the highest, or
// a thin line for each repetition if they are few.

/** Draw the curve called `name`, in `unit`, of each method shown. Returns its points, for `explore`. */
function drawCurves(holder, name, unit) {
  if (shown.size === 0) return nothing(holder);
  const curves = shownInOrder().map((k) => ({ k, ...data.methods[k][name] }));
  const ends = ({ mean, lowest, highest }) => [...mean, ...(spreadShown ? [...(lowest ?? []), ...(highest ?? [])] : [])];
  const tasks = data.tasks.length;
  const drawn = frame(
    holder,
    taskScale(tasks, plotWidth(holder)),
    // What a task has lost, unlike an accuracy, can be below zero.
    percentScale(curves.flatMap(ends), curves.flatMap(ends).some((value) => value < 0) ? -100 : 0),
    "tasks learned",
  );
  const { root, x, y, clip } = drawn;
  const after = (levels) => levels.map((level, i) => [i + 1, level]);
  if (name === "average_accuracy") chanceLines(holder, drawn, data.chance.map(after));
  // Of the first task it is the same, however many are learned.
  else if (!data.drop) chanceLines(holder, drawn, [...new Set(data.chance.map(([first]) => first))].map((level) => after(Array(tasks).fill(level))));

  // With many tasks a marker at every point is a caterpillar; staggered, they do not hide one another.
  const every = Math.max(1, Math.floor(tasks / 8));
  return curves.flatMap(({ k, mean, lowest, highest, each }) => {
    const method = data.methods[k];
    const path = (values) => values.map((value, i) => `${x(i + 1).toFixed(2)} ${y(value).toFixed(2)}`);
    const group = mark(k);
    for (const values of (spreadShown && each) || []) {
      const style = { class: "line each", "stroke-dasharray": dashes(method), "clip-path": clip };
      group.append(svg("path", { ...style, d: `M${path(values).join("L")}` }));
    }
    if (spreadShown && lowest && !each) {
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
