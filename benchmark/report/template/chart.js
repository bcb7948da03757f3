// What the charts share: a frame with axes, and moving from point to point.

const MARGIN = { left: 32, right: 14, top: 10, bottom: 42 };
// Pixels from the pointer within which a point is meant.
const REACH = 32;

const ruler = document.createElement("canvas").getContext("2d");

/** Width of a line of text in a chart, in pixels. */
function textWidth(text) {
  ruler.font = `12px ${getComputedStyle(document.body).fontFamily}`;
  return ruler.measureText(text).width;
}

/** Pixels across, between the margins of a chart in `holder`. */
function plotWidth(holder) {
  return Math.max(holder.clientWidth, 200) - MARGIN.left - MARGIN.right;
}

/** Draw the axes of two scales in place of what `holder` shows. Returns the drawing, its box, and pixels of values. */
function frame(holder, xScale, yScale, xTitle, least = 200) {
  const width = plotWidth(holder);
  const height = Math.round(Math.max(Math.min(0.62 * width, 340), least));
  const [right, bottom] = [MARGIN.left + width, MARGIN.top + height];
  const x = (value) => MARGIN.left + width * xScale.place(value);
  const y = (value) => bottom - height * yScale.place(value);

  const axes = svg("g", { "aria-hidden": "true" });
  for (const { value, text } of yScale.ticks) {
    axes.append(svg("line", { class: "grid", x1: MARGIN.left, x2: right, y1: y(value), y2: y(value) }));
    axes.append(svg("text", { x: MARGIN.left - 8, y: y(value) + 4, "text-anchor": "end" }, text));
  }
  axes.append(svg("line", { class: "axis", x1: MARGIN.left, x2: right, y1: bottom, y2: bottom }));
  let free = -Infinity;
  for (const { value, text } of xScale.ticks) {
    const half = textWidth(text) / 2;
    if (x(value) - half < free) continue;
    free = x(value) + half + 6;
    axes.append(svg("line", { class: "axis", x1: x(value), x2: x(value), y1: bottom, y2: bottom + 4 }));
    axes.append(svg("text", { x: x(value), y: bottom + 17, "text-anchor": "middle" }, text));
  }
  axes.append(svg("text", { x: right, y: bottom + 35, "text-anchor": "end" }, xTitle));

  const id = `${holder.parentNode.id}-clip`;
  const inside = svg("clipPath", { id }, svg("rect", { x: MARGIN.left, y: MARGIN.top, width, height }));
  const size = `0 0 ${right + MARGIN.right} ${bottom + MARGIN.bottom}`;
  const root = svg("svg", { viewBox: size }, inside, axes);
  holder.replaceChildren(root);
  return { root, x, y, clip: `url(#${id})`, box: { left: MARGIN.left, top: MARGIN.top, right, bottom } };
}

/**
 * Dotted lines at the chance levels of the chart `drawn`, of which each point is (x, y) in the chart's values. What lies
 * below the axis is written below the chart.
 */
function chanceLines(holder, drawn, curves) {
  for (const points of curves) {
    const d = `M${points.map(([across, level]) => `${drawn.x(across)} ${drawn.y(level)}`).join("L")}`;
    drawn.root.append(svg("path", { class: "chance", d, "clip-path": drawn.clip }, svg("title", {}, "chance")));
  }
  const ends = curves.map((points) => points.at(-1)[1]);
  const below = ends.filter((level) => drawn.y(level) > drawn.box.bottom);
  const texts = (levels) => levels.map((level) => `${(100 * level).toFixed(1)} %`).join(", ");
  if (below.length) {
    holder.append(html("p", { class: "below" }, `Chance, ${texts(below)}, is below the axis.`));
  } else if (ends.length) {
    const at = { x: drawn.box.right, y: Math.min(...ends.map(drawn.y)) - 5, "text-anchor": "end" };
    drawn.root.append(svg("text", { class: "label chance-label", ...at }, `chance: ${texts(ends)}`));
  }
}

/** In place of a chart, why there is none. Returns its points: none. */
function nothing(holder) {
  const why = data.methods.length ? "No finished method is chosen." : "No method finished a task.";
  holder.replaceChildren(html("p", { class: "nothing" }, why));
  return [];
}

/** A point of a chart, which can be reached by keyboard and says what it stands for. */
function pointMark(k, x, y, label) {
  return svg("path", {
    class: "point",
    d: MARKERS[data.methods[k].marker],
    transform: `translate(${x.toFixed(2)} ${y.toFixed(2)})`,
    role: "img",
    tabindex: "-1",
    "aria-label": label,
  });
}

// What an arrow key keeps, along which axis it moves, and in which direction.
const MOVES = {
  ArrowLeft: ["row", "x", -1],
  ArrowRight: ["row", "x", 1],
  ArrowUp: ["column", "y", -1],
  ArrowDown: ["column", "y", 1],
};

function neighbour(points, point, [lane, axis, sign]) {
  const beside = points.filter((other) => other[lane] === point[lane]);
  beside.sort((a, b) => sign * (a[axis] - b[axis]));
  return beside[beside.indexOf(point) + 1];
}

/**
 * Let a pointer and the arrow keys look at a chart's points: the one looked at is named, and its method stands out.
 * Click or Enter opens the method's accuracy matrix; where a finger cannot hover, its first tap looks.
 *
 * Returns a function that takes the points, whenever they are drawn: of each its element, method, place (x, y), the
 * lane that arrows left and right stay in (row) and that of up and down (column), and the lines of text to show.
 */
function explore(holder) {
  let points = [];
  let active = null;
  let chosen = false;

  const look = (point) => {
    if (point === active) return;
    active?.element.classList.remove("active");
    active = point;
    highlight(point && point.method);
    if (!point) return hideTip();
    point.element.classList.add("active");
    showTip(point.element, point.lines);
  };
  const under = (event) => {
    const box = holder.getBoundingClientRect();
    const away = (p) => Math.hypot(p.x - event.clientX + box.left, p.y - event.clientY + box.top);
    const nearest = points.reduce((best, p) => (best && away(best) <= away(p) ? best : p), null);
    return nearest && away(nearest) < REACH ? nearest : null;
  };

  holder.addEventListener("pointermove", (event) => look(under(event)));
  holder.addEventListener("pointerleave", (event) => event.pointerType === "mouse" && look(null));
  holder.addEventListener("pointerdown", (event) => {
    const point = under(event);
    chosen = point !== null && point === active;
    look(point);
  });
  document.addEventListener("pointerdown", (event) => holder.contains(event.target) || look(null));
  holder.addEventListener("click", () => chosen && active && openMatrix(active.method));
  holder.addEventListener("focusin", ({ target }) => {
    points.forEach(({ element }) => element.setAttribute("tabindex", element === target ? "0" : "-1"));
    look(points.find(({ element }) => element === target) ?? null);
  });
  holder.addEventListener("focusout", () => look(null));
  holder.addEventListener("keydown", (event) => {
    if (!active) return;
    if (event.key === "Enter") openMatrix(active.method);
    if (!(event.key in MOVES)) return;
    event.preventDefault();
    neighbour(points, active, MOVES[event.key])?.element.focus();
  });

  return (drawn) => {
    look(null);
    points = drawn;
    points[0]?.element.setAttribute("tabindex", "0");
  };
}
