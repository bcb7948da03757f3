// The loss in each epoch, task after task: a line for each method.

/** Draw the losses of each method shown. Returns its points, for `explore`: one at the end of each task. */
function drawLosses(holder) {
  const methods = shownInOrder()
    .map((k) => ({ k, ...data.methods[k] }))
    .filter(({ losses }) => losses);
  if (methods.length === 0) return nothing(holder);
  const tasks = data.tasks.length;
  const numbers = Array.from({ length: tasks }, (_, t) => tick(t + 1));
  const { root, x, y } = frame(holder, linear(0, tasks, numbers), costScale(methods.flatMap(({ losses }) => losses.flat())), "tasks learned");
  return methods.flatMap(({ k, label, losses }) => {
    const spots = losses.flatMap((task, t) => task.map((loss, e) => `${x(t + (e + 1) / task.length).toFixed(2)} ${y(loss).toFixed(2)}`));
    const group = mark(k, svg("path", { class: "line", d: `M${spots.join("L")}`, "stroke-dasharray": dashes(data.methods[k]) }));
    root.append(group);
    return losses.flatMap((task, t) => {
      if (task.length === 0) return [];
      const [first, last] = [task[0], task.at(-1)].map((loss) => Number(loss.toPrecision(3)));
      const lines = [label, `while learning ${data.tasks[t]}`, task.length > 1 ? `loss from ${first} to ${last}` : `loss ${last}`];
      const [right, down] = [x(t + 1), y(task.at(-1))];
      const element = pointMark(k, right, down, lines.join(", "));
      group.append(element);
      return [{ element, method: k, x: right, y: down, row: k, column: t, lines }];
    });
  });
}
