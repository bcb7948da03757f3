// What a method answered to the test images of a task after its last task: the confusion matrix and the mistakes.

// As many of the most frequent mistakes are listed.
const WORST = 10;

function setUpAnswers() {
  const group = document.getElementById("answers-shown");
  if (!group) return;
  const [method, task] = ["method", "task"].map((name) => document.getElementById(`answers-${name}`));
  const body = group.querySelector(".body");
  const show = () => body.replaceChildren(...answersTo(Number(method.value), Number(task.value)));
  for (const select of [method, task]) select.addEventListener("change", show);
  show();
}

/** Everything about a method's answers to a task, as elements. */
function answersTo(k, t) {
  const { label, repetition, names, tasks } = data.answers.methods[k];
  const { name, classes, images, pictures } = data.answers.tasks[t];
  const own = tasks[t];
  if (!own) return [html("p", {}, `${label} has not learned ${name} yet, or its answers are not kept.`)];
  const text = `${label}, ${repetition}: ${sum(own.right)} of ${sum(images)} images of ${name} were answered right.`;
  const answers = answerNames(k, t);
  const cut = own.others ? [html("p", {}, `${own.others} rarer kinds of mistakes are left out.`)] : [];
  const matrix = html("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Confusion matrix" }, colourKey(), confusionTable(own, classes, images, answers));
  const worst = own.mistakes.slice(0, WORST).map(([i, j, often]) => [classes[i], answers[j], `${often} of ${images[i]}`]);
  const surest = own.surest.map(([image, i, j, sure, k]) => [pictured(image, classes[i], pictures?.[k]), classes[i], answers[j], sure === null ? "–" : `${percent(sure)} %`]);
  const lists = worst.length
    ? [
        html("h3", {}, "The most frequent mistakes"),
        listTable(["Class", "Answer", "Images"], worst),
        html("h3", {}, "The surest mistakes"),
        listTable(["Image", "Class", "Answer", "Confidence"], surest),
      ]
    : [];
  return [html("p", {}, text), html("p", { class: "caption" }, explanation(names)), matrix, ...cut, ...lists];
}

/** How a confusion matrix is read; `names` are those of the classes of all tasks, where these compete. */
function explanation(names) {
  const across = names ? "Across: the answer, which may be a class of another task" : "Across: the answer";
  return `Down: the class of the images. ${across}. Right answers are outlined. A colour is a share of the images of a class. Point at a cell, or go there with the arrow keys, to read it.`;
}

/** The name of each answer. Where the classes of all tasks compete, a class of another task has its task's name too. */
function answerNames(k, t) {
  const { names, tasks } = data.answers.methods[k];
  const answers = [...(names ?? data.answers.tasks[t].classes)];
  if (!names) return answers;
  data.answers.tasks.forEach(({ name, classes }, other) => {
    if (other === t || !tasks[other]) return;
    classes.forEach((label, i) => (answers[tasks[other].first + i] = `${label} (${name})`));
  });
  return answers;
}

function sum(numbers) {
  return numbers.reduce((all, each) => all + each, 0);
}

function confusionTable({ first = 0, right, mistakes }, classes, images, answers) {
  // The task's own classes, and others that were answered.
  const own = classes.map((_, i) => first + i);
  const shown = [...new Set([...own, ...mistakes.map(([, j]) => j)])].sort((a, b) => a - b);
  const counts = classes.map((_, i) => new Map([[first + i, right[i]]]));
  for (const [i, j, often] of mistakes) counts[i].set(j, often);
  const dense = shown.length > MOST_WRITTEN;
  const table = html("table", { class: dense ? "heat dense" : "heat", role: "grid", "aria-label": "Confusion matrix" });
  const name = (label, k) => (dense ? numbered(k) : html("span", {}, label));
  const head = html("tr", {}, html("td"), ...shown.map((j, k) => html("th", { scope: "col", title: answers[j] }, name(answers[j], k))));
  const rows = counts.map((row, i) => {
    const cells = shown.map((j) => confusionCell(row.get(j) ?? 0, images[i], j === first + i));
    return html("tr", {}, html("th", { scope: "row", title: classes[i] }, name(classes[i], shown.indexOf(first + i))), ...cells);
  });
  table.append(html("thead", {}, head), html("tbody", {}, ...rows));
  lookAtCells(table, (i, k) => [
    `${counts[i].get(shown[k]) ?? 0} of ${images[i]} images`,
    `of the class ${classes[i]}`,
    `were answered with ${answers[shown[k]]}`,
  ]);
  return table;
}

/** A cell that shows how many images there are, or another text for that. */
function confusionCell(often, images, right, text = often) {
  const cell = html("td", { tabindex: "-1", class: right ? "right" : "" });
  if (often === 0) return cell;
  cell.textContent = String(text);
  cell.style.background = colour(often / images);
  cell.style.color = often / images < 0.6 ? "#ffffff" : "#000000";
  return cell;
}

/** The name of an image, behind a small picture of it where there is one. */
function pictured(image, label, jpeg) {
  if (!jpeg) return image;
  const picture = html("img", { src: `data:image/jpeg;base64,${jpeg}`, alt: `Image of the class ${label}` });
  return html("span", { class: "pictured" }, picture, image);
}

function listTable(headers, rows) {
  const head = html("tr", {}, ...headers.map((header) => html("th", { scope: "col" }, header)));
  const body = rows.map((row) => html("tr", {}, ...row.map((cell) => html("td", {}, cell))));
  return html("div", { class: "scroll" }, html("table", { class: "mistakes" }, html("thead", {}, head), html("tbody", {}, ...body)));
}
