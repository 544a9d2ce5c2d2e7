// What is asked of the plane: colours, pictures, one galaxy in full; by pointer and by keyboard.

const field = (id) => document.getElementById(id);
const grouped = (number) => number.toLocaleString("en");

// Text from outside only ever becomes a text node.
function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

function button(properties, onClick, ...children) {
  const element = make("button", { type: "button", ...properties }, ...children);
  element.addEventListener("click", onClick);
  return element;
}

function chooseMode(mode) {
  state.mode = mode;
  state.hidden.clear();
  refresh();
}

function refresh() {
  refreshColours();
  field("modes").replaceChildren(...MODES.map((mode) => {
    const choice = button({ role: "radio" }, () => chooseMode(mode), mode.name);
    choice.setAttribute("aria-checked", mode === state.mode);
    return choice;
  }));
  field("legend").replaceChildren(...(state.mode.names ? makeCategories(state.mode) : makeScale(state.mode)));
  field("pictures").setAttribute("aria-pressed", state.pictures);
  requestDraw();
}

function makeCategories(mode) {
  const counts = new Map();
  for (const value of point[mode.key]) counts.set(value, (counts.get(value) ?? 0) + 1);
  return [...mode.names.keys(), -1].filter((value) => counts.has(value)).map((value) => {
    const swatch = make("span", { className: "swatch" });
    swatch.style.background = css(categoryColour(value));
    const entry = button({}, () => toggle(value, [...counts.keys()]), swatch, value < 0 ? mode.none : mode.names[value],
      make("span", { className: "count" }, grouped(counts.get(value))));
    entry.setAttribute("aria-pressed", !state.hidden.has(value));
    return entry;
  });
}

// The first click shows one alone; further ones add and take away; the last one that goes brings all back.
function toggle(value, all) {
  if (!state.hidden.size) all.forEach((other) => other !== value && state.hidden.add(other));
  else if (!state.hidden.delete(value)) state.hidden.add(value);
  if (all.every((other) => state.hidden.has(other))) state.hidden.clear();
  refresh();
}

function makeScale(mode) {
  const scale = make("div", { id: "scale" });
  const stops = [0, 64, 128, 192, 255].map((step) => css(RAMPS[theme()][step]));
  scale.style.background = `linear-gradient(to right, ${stops.join(", ")})`;
  return [scale, make("div", { className: "ends" }, ...mode.ends.map((end) => make("span", {}, end)))];
}

const percent = (thousandths) => `${(thousandths / 10).toFixed(0)}\u202f%`;
const isKnown = (index) => Number.isFinite(point.ra[index]) && Number.isFinite(point.dec[index]);
const className = (number) => (number < 0 ? "no label" : classes[number]);

function showTip(index, x, y) {
  const tip = field("tip");
  tip.hidden = index < 0;
  if (index < 0) return;
  const parts = hasPicture(index) ? [make("img", { alt: "", src: pictureUrl(index) })] : [];
  tip.replaceChildren(...parts, make("strong", {}, ids[index]), make("div", {}, className(point.label[index])));
  tip.style.left = `${Math.min(x + 16, innerWidth - tip.offsetWidth - 8)}px`;
  tip.style.top = `${Math.min(y + 16, innerHeight - tip.offsetHeight - 8)}px`;
}

function openDetail(index) {
  state.open = index;
  field("detail").hidden = index < 0;
  requestDraw();
  if (index < 0) return;
  const close = button({ className: "close", ariaLabel: "Close the details" }, () => openDetail(-1), "×");
  const picture = hasPicture(index) ? make("img", { className: "portrait", alt: `Galaxy ${ids[index]}`, src: pictureUrl(index) })
    : make("p", { className: "hint" }, thumbnails ? "This page has no room for its picture." : "It came without an image.");
  field("detail").replaceChildren(close, make("h2", {}, ids[index]), picture, makeFacts(index), ...makeNear(index));
}

function makeFacts(index) {
  const split = splits[point.split[index]], facts = [["label", className(point.label[index])]];
  if (point.predicted) facts.push(["prediction", `${classes[point.predicted[index]]}, ${percent(point.confidence[index])}`]);
  const isNovel = point.novelty[index] > 1000;
  facts.push(["novelty", `${(point.novelty[index] / 1000).toFixed(2)} of the threshold${isNovel ? ": unlike those of training" : ""}`]);
  facts.push(["split", split === "train" || split === "val" ? `${split}: the head was made with it` : split]);
  if (isKnown(index)) facts.push(["position", `${point.ra[index].toFixed(4)}°, ${point.dec[index].toFixed(4)}°`]);
  const list = make("dl", {}, ...facts.flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, value)]));
  if (isNovel) list.children[facts.findIndex(([name]) => name === "novelty") * 2 + 1].className = "doubt";
  if (isKnown(index))
    list.append(make("dt", {}, "sky"), make("dd", {}, make("a", { href: viewerUrl(index), target: "_blank", rel: "noreferrer" }, "Legacy Survey viewer")));
  return list;
}

function makeNear(index) {
  const near = nearestPictures(index, 12);
  if (!near.length) return [];
  const row = make("div", { className: "near" }, ...near.map((other) => {
    const name = `${ids[other]}, ${className(point.label[other])}`;
    const entry = button({ title: name, ariaLabel: name }, () => openDetail(other), make("img", { alt: "", src: pictureUrl(other) }));
    const ink = colour[other];
    entry.style.borderColor = css([ink & 255, (ink >> 8) & 255, ink >> 16]);
    return entry;
  }));
  return [make("p", { className: "hint" }, "Nearest here"), row];
}

let drag = null;
canvas.addEventListener("pointerdown", (event) => {
  canvas.setPointerCapture(event.pointerId);
  drag = { x: event.clientX, y: event.clientY, moved: 0 };
});
canvas.addEventListener("pointermove", (event) => {
  if (drag) {
    const across = event.clientX - drag.x, down = event.clientY - drag.y;
    drag = { x: event.clientX, y: event.clientY, moved: drag.moved + Math.abs(across) + Math.abs(down) };
    if (drag.moved > 4) {
      canvas.classList.add("is-dragged");
      view.left += across;
      view.top += down;
      showTip(-1);
      requestDraw();
    }
    return;
  }
  const index = nearestTo(event.clientX, event.clientY, 14);
  showTip(index, event.clientX, event.clientY);
  if (index !== state.hover) {
    state.hover = index;
    requestDraw();
  }
});
canvas.addEventListener("pointerup", (event) => {
  canvas.classList.remove("is-dragged");
  if (drag && drag.moved <= 4) openDetail(nearestTo(event.clientX, event.clientY, 20));
  drag = null;
});
canvas.addEventListener("pointerleave", () => {
  state.hover = -1;
  showTip(-1);
  requestDraw();
});
canvas.addEventListener("wheel", (event) => {
  event.preventDefault();
  zoomAt(event.clientX, event.clientY, Math.exp(-event.deltaY / 400));
}, { passive: false });

const MOVES = { ArrowLeft: [60, 0], ArrowRight: [-60, 0], ArrowUp: [0, 60], ArrowDown: [0, -60] };
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") openDetail(-1);
  if (event.target !== canvas && event.target !== document.body) return;
  const middle = [canvas.clientWidth / 2, canvas.clientHeight / 2];
  if (MOVES[event.key]) {
    view.left += MOVES[event.key][0];
    view.top += MOVES[event.key][1];
    event.preventDefault();
  } else if (event.key === "+" || event.key === "=") zoomAt(...middle, 1.4);
  else if (event.key === "-") zoomAt(...middle, 1 / 1.4);
  else if (event.key === "0") fitView();
  else if (event.key === "Enter") openDetail(nearestTo(...middle, Infinity));
  requestDraw();
});

field("search").addEventListener("submit", (event) => {
  event.preventDefault();
  const wanted = field("query").value.trim();
  const found = ids.indexOf(wanted) >= 0 ? ids.indexOf(wanted) : ids.findIndex((id) => wanted && id.includes(wanted));
  field("hint").textContent = found < 0 && wanted ? `No id holds ${wanted}.` : HINT;
  if (found < 0) return;
  view.left += canvas.clientWidth / 2 - screenX(found);
  view.top += canvas.clientHeight / 2 - screenY(found);
  openDetail(found);
});
field("fit").addEventListener("click", () => { fitView(); requestDraw(); });
field("pictures").hidden = !thumbnails;
field("pictures").addEventListener("click", () => { state.pictures = !state.pictures; refresh(); });
addEventListener("resize", () => { fitView(); requestDraw(); });
isLight.addEventListener("change", refresh);

const numPictures = point.chars.reduce((number, chars) => number + (chars > 0), 0);
const HINT = !thumbnails || numPictures === count ? "Scroll to zoom, drag to move, click a galaxy."
  : `Scroll to zoom, drag to move, click a galaxy. ${grouped(numPictures)} have a picture here.`;
field("facts").textContent = facts;
field("hint").textContent = HINT;
fitView();
refresh();
