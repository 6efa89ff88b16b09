"use strict";
// Shows one part of the run at a time, hides what the filters name, and tells what is under the pointer.
const templates = [...document.querySelectorAll("template[data-part]")];
const stage = document.getElementById("stage"), tip = document.getElementById("tip"), main = document.querySelector("main");
const search = document.getElementById("search"), lies = document.getElementById("lies"), hits = document.getElementById("hits");
const hidden = { kind: new Set(), lane: new Set(), sign: new Set() };
let part = 0, arrows = [], kept = false, hot = null;
let texts = null; // of every part, lower case, made when somebody searches

function show(index) {
  part = Math.max(0, Math.min(templates.length - 1, index));
  document.getElementById("words").textContent = templates[part].dataset.words;
  stage.replaceChildren(templates[part].content.cloneNode(true));
  // The browser's own tooltip would cover ours.
  for (const title of stage.querySelectorAll("title")) {
    title.parentNode.dataset.title = title.textContent;
    title.remove();
  }
  arrows = [...stage.querySelectorAll("g.m")].map((element) => {
    const [x1, y1, x2, y2] = element.querySelector("path").getAttribute("d").match(/-?[\d.]+/g).map(Number);
    return { element, x1, y1, x2, y2 };
  });
  for (const button of document.querySelectorAll(".part")) {
    button.classList.toggle("now", Number(button.dataset.part) === part);
  }
  release();
  apply();
}

function apply() {
  const query = search.value.trim().toLowerCase();
  const lane = (name) => name !== undefined && hidden.lane.has(name);
  for (const element of stage.querySelectorAll("g.m, .l, g.e, .fault, .lane, .down, .paper")) {
    const data = element.dataset, lie = element.classList.contains("lie");
    const off = data.k !== undefined
      ? hidden.kind.has(data.k) || lane(data.f) || lane(data.t) || (lies.checked && !lie)
      : (data.e !== undefined && hidden.sign.has(data.e)) || (data.e !== undefined && lane(data.lane));
    element.classList.toggle("off", off);
    const text = (data.title || element.textContent).toLowerCase();
    const stays = element.matches(".lane, .down");
    element.classList.toggle("dim", stays ? lane(data.lane) : query !== "" && !text.includes(query));
  }
  count(query);
}

function count(query) {
  hits.replaceChildren();
  if (!query) return;
  texts = texts || templates.map((one) =>
    [...one.content.querySelectorAll("g > title")].map((title) => title.textContent.toLowerCase()));
  let all = 0;
  texts.forEach((lines, index) => {
    const found = lines.filter((line) => line.includes(query)).length;
    all += found;
    if (!found) return;
    const button = document.createElement("button");
    button.textContent = `page ${index + 1}: ${found}`;
    button.addEventListener("click", () => show(index));
    hits.append(button);
  });
  hits.prepend(all ? `${all} found ` : "nothing found");
}

function distance(arrow, x, y) {
  const dx = arrow.x2 - arrow.x1, dy = arrow.y2 - arrow.y1, length = dx * dx + dy * dy || 1;
  const along = Math.max(0, Math.min(1, ((x - arrow.x1) * dx + (y - arrow.y1) * dy) / length));
  return Math.hypot(x - arrow.x1 - along * dx, y - arrow.y1 - along * dy);
}

function under(event) {
  const near = event.target.closest ? event.target.closest("[data-title]") : null;
  if (near && !near.matches("g.m")) return near;
  const drawing = stage.querySelector("svg");
  if (!drawing || !stage.contains(event.target)) return null;
  const box = drawing.getBoundingClientRect(), origin = drawing.viewBox.baseVal;
  const x = event.clientX - box.left + origin.x, y = event.clientY - box.top + origin.y;
  let best = null, closest = 7; // pixels
  for (const arrow of arrows) {
    if (arrow.element.classList.contains("off")) continue;
    const away = distance(arrow, x, y);
    if (away < closest) [best, closest] = [arrow.element, away];
  }
  return best;
}

function tell(element, event) {
  if (hot) hot.classList.remove("hot");
  hot = element;
  tip.hidden = !element;
  if (!element) return;
  element.classList.add("hot");
  const [first, ...rest] = element.dataset.title.split("\n");
  const head = document.createElement("b");
  head.textContent = first;
  tip.replaceChildren(head, "\n" + rest.join("\n"));
  const right = event.clientX + 16, below = event.clientY + 14;
  tip.style.left = `${Math.min(right, Math.max(8, innerWidth - tip.offsetWidth - 10))}px`;
  tip.style.top = `${below + tip.offsetHeight < innerHeight ? below : Math.max(8, event.clientY - tip.offsetHeight - 12)}px`;
}

function release() {
  kept = false;
  tip.classList.remove("kept");
  tell(null);
}

main.addEventListener("mousemove", (event) => { if (!kept) tell(under(event), event); });
main.addEventListener("mouseleave", () => { if (!kept) tell(null); });
stage.addEventListener("click", (event) => {
  const element = under(event);
  release();
  if (element) {
    tell(element, event);
    kept = true;
    tip.classList.add("kept");
  }
});
for (const set of document.querySelectorAll("fieldset[data-set]")) {
  const name = set.dataset.set;
  set.addEventListener("change", (event) => {
    const value = event.target.dataset[name];
    if (event.target.checked) hidden[name].delete(value); else hidden[name].add(value);
    apply();
  });
  for (const [css, checked] of [["all", true], ["none", false]]) {
    set.querySelector(`.${css}`).addEventListener("click", () => {
      for (const box of set.querySelectorAll("input")) {
        box.checked = checked;
        if (checked) hidden[name].delete(box.dataset[name]); else hidden[name].add(box.dataset[name]);
      }
      apply();
    });
  }
}
lies.addEventListener("change", apply);
search.addEventListener("input", apply);
function turn(to) {
  show(to);
  main.scrollTop = 0;
}
for (const button of document.querySelectorAll(".part")) button.addEventListener("click", () => turn(Number(button.dataset.part)));
document.getElementById("back").addEventListener("click", () => turn(part - 1));
document.getElementById("on").addEventListener("click", () => turn(part + 1));
document.addEventListener("keydown", (event) => {
  if (event.target === search) return;
  if (event.key === "ArrowLeft") turn(part - 1);
  if (event.key === "ArrowRight") turn(part + 1);
  if (event.key === "Escape") release();
});
function toViolation() {
  show(Number(document.body.dataset.first));
  const band = stage.querySelector(".violation");
  if (band) band.scrollIntoView({ block: "center" });
}
const broken = document.getElementById("broken");
if (broken) broken.addEventListener("click", toViolation);
if (broken) toViolation(); else show(0);
