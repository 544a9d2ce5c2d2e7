// The galaxies themselves: cards that are made when one scrolls near them, with pictures decoded when they are near.

const CHUNK = 60;
const NUM_EXAMPLES = 6;

const grid = document.getElementById("galaxies");
let waiting = []; // galaxies that have no card yet

const pictures = new IntersectionObserver(
  (entries) => {
    for (const { isIntersecting, target } of entries) {
      if (!isIntersecting) continue;
      target.src = thumbnailUrl(galaxies[target.dataset.picture]);
      pictures.unobserve(target);
    }
  },
  { rootMargin: "600px" },
);
new IntersectionObserver(([{ isIntersecting }]) => isIntersecting && addCards(), { rootMargin: "1200px" }).observe(
  document.getElementById("more"),
);

function drawGalaxies() {
  const shown = selected();
  pictures.disconnect();
  grid.classList.toggle("pairs", state.view === "pairs");
  if (state.view === "pairs") {
    waiting = [];
    grid.replaceChildren(...confusedPairs(shown).map(makePair));
  } else {
    waiting = shown;
    grid.replaceChildren();
    addCards();
  }
  if (!shown.length) grid.replaceChildren(make("p", { className: "empty" }, "No galaxy is like this. Clear the filters to see all."));
  const first = grid.querySelector(".card");
  if (first) first.tabIndex = 0;
  summarise(shown);
}

function addCards() {
  const added = waiting.slice(0, CHUNK);
  waiting = waiting.slice(CHUNK);
  grid.append(...added.map(makeCard));
}

function makePicture(galaxy) {
  const picture = make("img", { alt: "", decoding: "async", data: { picture: galaxy.index } });
  pictures.observe(picture);
  return make("span", { className: "frame" }, picture);
}

function makeCard(galaxy) {
  const card = make(
    "button",
    { type: "button", className: "card", tabIndex: -1, data: { index: galaxy.index } },
    makePicture(galaxy),
    make("span", { className: "label" }, isPool(galaxy) ? classes[galaxy.predicted] : nameOf(galaxy.label)),
    make("span", { className: "verdict" }, make("span"), make("span")),
  );
  refreshCard(card);
  return card;
}

// The line below the label, what was predicted, suggested or corrected: [kind, text, probability].
function verdict(galaxy) {
  if (corrections.has(galaxy.index)) return ["corrected", `✎ ${classes[corrections.get(galaxy.index)]}`, ""];
  if (isPool(galaxy)) {
    const sure = `${percent(galaxy.confidence)} sure`;
    return galaxy.isNovel ? ["doubtful", `novel ${galaxy.novelty.toFixed(1)},`, sure] : ["told", sure, ""];
  }
  if (state.view === "suspects" && galaxy.suspicion) {
    const { suggested, confidence } = galaxy.suspicion;
    return ["doubtful", `? ${classes[suggested]}`, percent(confidence)];
  }
  if (isWrong(galaxy)) return ["wrong", `✗ ${classes[galaxy.predicted]}`, percent(galaxy.confidence)];
  return ["right", "✓", percent(galaxy.confidence)];
}

function refreshCard(card) {
  const galaxy = galaxies[card.dataset.index];
  const [kind, name, probability] = verdict(galaxy);
  const [nameBox, probabilityBox] = card.querySelector(".verdict").children;
  nameBox.textContent = name;
  probabilityBox.textContent = probability;
  const text = `${name} ${probability}`;
  card.dataset.kind = kind;
  const heading = isPool(galaxy) ? `predicted ${classes[galaxy.predicted]}` : `labelled ${nameOf(galaxy.label)}`;
  card.title = `${heading}\n${text}`;
  card.setAttribute("aria-label", `Row ${galaxy.row}, ${heading}, ${text}`);
  if (galaxy === state.open) card.setAttribute("aria-current", "true");
  else card.removeAttribute("aria-current");
}

function makePair({ label, answer, members }) {
  const numLabelled = galaxies.filter((galaxy) => isTest(galaxy) && galaxy.label === label).length;
  const button = make("button", { type: "button", className: "show" }, `Show all ${count(members.length)}`);
  button.addEventListener("click", () => change({ view: "mistakes", sort: views.mistakes.sort, label, answer }));
  const share = `${count(members.length)} of ${count(numLabelled)} (${percent(members.length / numLabelled)})`;
  return make(
    "section",
    { className: "pair" },
    make(
      "div",
      { className: "pair-head" },
      make("h3", {}, classes[label], make("span", { className: "taken" }, " taken for "), classes[answer]),
      make("p", { className: "hint" }, share),
      button,
    ),
    make("div", { className: "strip" }, ...members.slice(0, NUM_EXAMPLES).map(makeCard)),
  );
}

function summarise(shown) {
  const numRight = shown.filter((galaxy) => !isWrong(galaxy)).length;
  const isFiltered = state.label !== null || state.answer !== null || state.query !== "";
  const parts = [`${count(shown.length)} ${shown.length === 1 ? "galaxy" : "galaxies"}`];
  if (state.view === "all" && isFiltered && shown.length) parts.push(`${percent(numRight / shown.length)} right`);
  if (state.label !== null) parts.push(`labelled ${classes[state.label]}`);
  if (views[state.view].list) parts.push(`of ${count(numPool)} without a label`);
  if (state.answer !== null) parts.push(`${state.view === "suspects" ? "rather" : "predicted"} ${classes[state.answer]}`);
  document.getElementById("summary").textContent = parts.join(" · ");
  document.getElementById("about").textContent = views[state.view].about;
}

// Move the focus by one card, one line of cards, or to an end.
function moveInGrid(from, key) {
  while ((key === "End" || key === "ArrowDown") && waiting.length && (key === "End" || isLastLine(from))) addCards();
  const cards = [...grid.querySelectorAll(".card")];
  const next = cards[nextPosition(cards, cards.indexOf(from), key)];
  if (!next) return null;
  grid.querySelectorAll(".card[tabindex='0']").forEach((card) => (card.tabIndex = -1));
  next.tabIndex = 0;
  next.focus();
  next.scrollIntoView({ block: "nearest" });
  return next;
}

function isLastLine(card) {
  return card.getBoundingClientRect().top + 1 > grid.lastElementChild.getBoundingClientRect().top;
}

function nextPosition(cards, position, key) {
  if (key === "Home") return 0;
  if (key === "End") return cards.length - 1;
  if (key === "ArrowLeft") return position - 1;
  if (key === "ArrowRight") return position + 1;
  // Of the nearest line above or below, the card that is nearest sideways.
  const places = cards.map((card) => card.getBoundingClientRect());
  const { top, left } = places[position];
  const sign = key === "ArrowDown" ? 1 : -1;
  const beyond = [...cards.keys()].filter((index) => sign * (places[index].top - top) > 1);
  const line = places[sign > 0 ? beyond[0] : beyond.at(-1)]?.top;
  const inLine = beyond.filter((index) => Math.abs(places[index].top - line) <= 1);
  return inLine.sort((a, b) => Math.abs(places[a].left - left) - Math.abs(places[b].left - left))[0] ?? -1;
}
