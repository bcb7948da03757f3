document.documentElement.classList.add("with-script");
document.querySelectorAll(".numbers").forEach(makeSortable);
linkNames();
setUpDialog();
setUpAnswers();
setUpGuesses();

const charts = [...document.querySelectorAll(".chart")];
const holders = Object.fromEntries(charts.map((chart) => [chart.parentNode.id, chart]));
const draws = {
  average_accuracy: (holder) => drawCurves(holder, "average_accuracy", "%"),
  loss: drawLosses,
  first_task_accuracy: (holder) => drawCurves(holder, "first_task_accuracy", data.drop ? "pp" : "%"),
  accuracy_vs_parameters: (holder) => drawScatter(holder, "storage", "stored beyond the backbone (% of the backbone)"),
  accuracy_vs_compute: (holder) => drawScatter(holder, "compute", "training compute (fine-tuning = 1)"),
  stored: drawStored,
};
const explored = Object.keys(draws).filter((name) => name in holders).map((name) => [holders[name], draws[name], explore(holders[name])]);

function drawCharts() {
  for (const [holder, draw, looking] of explored) looking(draw(holder));
}

buildLegend(() => {
  drawCharts();
  drawMatrices(holders.accuracy_matrix);
  followChoice();
});

let width = holders.average_accuracy.clientWidth;
new ResizeObserver(() => {
  // Drawing changes the height.
  if (holders.average_accuracy.clientWidth === width) return;
  width = holders.average_accuracy.clientWidth;
  requestAnimationFrame(drawCharts);
}).observe(holders.average_accuracy);

// What is folded up would be missing on paper.
addEventListener("beforeprint", () => document.querySelectorAll("details:not(.columns)").forEach((part) => (part.open = true)));
