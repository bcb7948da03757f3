// Which task a rule guessed for the test images of each task, after the last task: the confusion matrix of tasks.

function setUpGuesses() {
  const group = document.getElementById("guesses-shown");
  if (!group) return;
  const [method, rule] = ["method", "rule"].map((name) => document.getElementById(`guesses-${name}`));
  const body = group.querySelector(".body");
  const show = () => body.replaceChildren(...guessesOf(Number(method.value), Number(rule.value)));
  // Methods may have other rules: the same one is shown again, if there is one.
  const listRules = () => {
    const before = rule.selectedOptions[0]?.textContent;
    const names = data.guesses.methods[Number(method.value)].ways.map((way) => way.name);
    rule.replaceChildren(...names.map((name, k) => html("option", { value: k }, name)));
    rule.value = Math.max(0, names.indexOf(before));
    show();
  };
  method.addEventListener("change", listRules);
  rule.addEventListener("change", show);
  listRules();
}

/** Everything about the tasks that a method's rule guessed, as elements. */
function guessesOf(k, r) {
  const { label, repetition, ways } = data.guesses.methods[k];
  const { name, counts } = ways[r];
  const right = sum(counts.map((row, i) => row?.[i] ?? 0));
  const images = sum(counts.map((row) => sum(row ?? [])));
  const text = `${label}, ${name}, ${repetition}: the task of ${right} of ${images} images was guessed right. Down: the task of the images. Across: the guessed task. Shares of the task's images, in percent. Right guesses are outlined.`;
  const matrix = html("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Confusion of tasks" }, guessTable(counts));
  // Beyond so many tasks, cells have colours only.
  const key = counts.length > MOST_WRITTEN ? [colourKey()] : [];
  return [html("p", {}, text), ...key, matrix];
}

function guessTable(counts) {
  const { tasks } = data.guesses;
  const dense = tasks.length > MOST_WRITTEN;
  const table = html("table", { class: dense ? "heat dense" : "heat", role: "grid", "aria-label": "Confusion of tasks" });
  const name = (k) => (dense ? numbered(k) : html("span", {}, tasks[k]));
  const head = html("tr", {}, html("td"), ...tasks.map((task, k) => html("th", { scope: "col", title: task }, name(k))));
  const rows = counts.map((row, i) => {
    const images = sum(row ?? []);
    const share = (j) => Math.round((100 * row[j]) / images);
    const cells = tasks.map((_, j) => (row ? confusionCell(row[j], images, i === j, share(j)) : confusionCell(0, 1, false)));
    return html("tr", {}, html("th", { scope: "row", title: tasks[i] }, name(i)), ...cells);
  });
  table.append(html("thead", {}, head), html("tbody", {}, ...rows));
  lookAtCells(table, (i, k) => [
    counts[i] ? `${counts[i][k]} of ${sum(counts[i])} images` : "No answers are kept",
    `of the task ${tasks[i]}`,
    ...(counts[i] ? [`were taken for ${tasks[k]}`] : []),
  ]);
  return table;
}
