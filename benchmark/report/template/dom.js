"use strict";

// What this page draws is made of elements and text, never of markup: labels and names are other people's text.

const data = JSON.parse(document.getElementById("data").textContent);

function html(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

function svg(tag, attributes = {}, ...children) {
  return filled(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
}

function filled(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/** A fraction in percent, with all the digits that the data has. */
function percent(fraction) {
  return (100 * fraction).toFixed(2);
}

/** "80.25 %", and half its 95 % interval where there is one. */
function accuracyText(mean, interval, unit = "%") {
  return interval === null ? `${percent(mean)} ${unit}` : `${percent(mean)} ± ${percent(interval)} ${unit}`;
}

/** "80.25 %, from 79.00 to 81.50": a mean, the lowest and the highest. */
function rangeText(mean, lowest, highest, unit) {
  return `${percent(mean)} ${unit}, from ${percent(lowest)} to ${percent(highest)}`;
}

// One small window for all that a pointer or the keyboard looks at. What it shows is also the label of the element or
// the text of a table, so that it need not be read aloud.

const tip = html("div", { class: "tip", "aria-hidden": "true", hidden: "" });
let tipAnchor = null;

/** Show lines of text above an element, or below where there is no room; the first stands out. */
function showTip(element, [first, ...lines]) {
  tipAnchor = element;
  tip.replaceChildren(html("b", {}, first), ...lines.map((line) => html("div", {}, line)));
  tip.hidden = false;
  // What is outside of an open dialog lies behind it.
  (document.querySelector("dialog[open]") ?? document.body).append(tip);
  placeTip();
}

function hideTip() {
  tip.hidden = true;
}

function placeTip() {
  if (tip.hidden) return;
  tip.style.left = tip.style.top = "0";
  const room = document.documentElement.clientWidth;
  const box = tipAnchor.getBoundingClientRect();
  const { width, height } = tip.getBoundingClientRect();
  const left = Math.max(4, Math.min(box.left + box.width / 2 - width / 2, room - width - 4));
  const top = box.top - height - 8 > 4 ? box.top - height - 8 : box.bottom + 8;
  tip.style.left = `${left}px`;
  tip.style.top = `${top}px`;
}

addEventListener("scroll", placeTip, { capture: true, passive: true });
