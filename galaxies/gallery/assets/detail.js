// One galaxy in full: picture, probabilities, facts, doubts about its label, and what looks like it.

const detail = document.getElementById("detail");

function openDetail(galaxy) {
  state.open = galaxy;
  const close = make("button", { type: "button", className: "close", aria: { label: "Close the details" } }, "×");
  close.addEventListener("click", closeDetail);
  const picture = make("img", { className: "portrait", alt: `Galaxy ${galaxy.id}`, src: thumbnailUrl(galaxy) });
  const parts = [
    close,
    picture,
    make("h2", {}, isPool(galaxy) ? `${classes[galaxy.predicted]}?` : nameOf(galaxy.label)),
    makeVerdict(galaxy),
    galaxy.probabilities ? makeBars(galaxy) : null,
    galaxy.suspicion ? makeSuspicion(galaxy) : null,
    makeCorrection(galaxy),
    galaxy.neighbours ? makeNeighbours(galaxy) : null,
    makeFacts(galaxy),
  ];
  detail.replaceChildren(...parts.filter((part) => part !== null));
  detail.hidden = false;
  document.body.classList.add("has-detail");
  detail.scrollTop = 0;
  refreshCards();
}

function closeDetail() {
  const index = state.open?.index;
  state.open = null;
  detail.hidden = true;
  document.body.classList.remove("has-detail");
  refreshCards();
  const card = grid.querySelector(`.card[data-index="${index}"]`) ?? grid.querySelector(".card");
  card?.focus({ preventScroll: true });
}

function makeVerdict(galaxy) {
  if (isPool(galaxy)) return make("p", { className: "hint" }, sayOfPool(galaxy));
  if (galaxy.split === "test" && !isTest(galaxy)) return make("p", { className: "hint" }, "A test galaxy without a class.");
  if (!isTest(galaxy)) return make("p", { className: "hint" }, `A ${galaxy.split} galaxy: the head was made with it.`);
  const text = isWrong(galaxy) ? `✗ predicted ${classes[galaxy.predicted]}` : "✓ predicted as labelled";
  return make("p", { className: `verdict ${isWrong(galaxy) ? "wrong" : "right"}` }, text);
}

// What the head says of a galaxy that nobody has labelled, and what that is worth.
function sayOfPool(galaxy) {
  const parts = [galaxy.label === null ? "It has no label." : `Labelled ${classes[galaxy.label]}, but not trained on: its neighbour stands in val or test.`];
  if (galaxy.near) parts.push(galaxy.near === "twin" ? "It is a labelled galaxy once more." : "A labelled galaxy stands near it on the sky.");
  if (galaxy.isNovel) parts.push("It is unlike the training galaxies: no probability means much.");
  return parts.join(" ");
}

function makeBars(galaxy) {
  // The three likeliest, and the label where it is not among them.
  const shown = galaxy.ranked.slice(0, 3);
  if (galaxy.label !== null && !shown.includes(galaxy.label)) shown.push(galaxy.label);
  const bars = shown.map((index) => {
    const bar = make("span", { className: "bar" }, make("span"));
    bar.firstChild.style.width = percentWidth(galaxy.probabilities[index]);
    const line = make("li", {}, make("span", { className: "name" }, classes[index]), bar, make("span", { className: "number" }, percent(galaxy.probabilities[index])));
    line.classList.toggle("is-label", index === galaxy.label);
    return line;
  });
  return make("ol", { className: isPool(galaxy) ? "bars told" : "bars", aria: { label: "Probabilities" } }, ...bars);
}

const percentWidth = (share) => `${(100 * share).toFixed(1)}%`;

function makeSuspicion({ suspicion, label }) {
  const { suggested, confidence, labelConfidence, numAgreeing, numNeighbours } = suspicion;
  return make(
    "div",
    { className: "suspicion" },
    make("h3", {}, `Rather ${classes[suggested]}?`),
    make(
      "p",
      {},
      `Held out from a logistic regression, it gets ${percent(confidence)} for ${classes[suggested]} and ` +
        `${percent(labelConfidence)} for ${classes[label]}; ${numAgreeing} of its ${numNeighbours} nearest neighbours are ${classes[suggested]}.`,
    ),
  );
}

function makeFacts(galaxy) {
  const known = (number, digits) => (number === undefined ? "unknown" : number.toFixed(digits));
  const list = [
    ["Id", galaxy.id],
    ["Row", galaxy.row],
    ["Split", galaxy.split],
    ["Redshift", known(galaxy.redshift, 4)],
    ...(galaxy.ra === undefined || galaxy.dec === undefined
      ? [["Position", "unknown"]]
      : [["RA, Dec", `${galaxy.ra.toFixed(5)}°, ${galaxy.dec.toFixed(5)}°`]]),
    ...(galaxy.probabilities ? [["Margin", percent(galaxy.margin)]] : []),
    ...(isTest(galaxy) ? [["Loss", `${galaxy.loss.toFixed(2)} nats`]] : []),
    ...(isPool(galaxy) ? [["Novelty", galaxy.novelty.toFixed(2)]] : []),
  ];
  const terms = list.map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, String(value))));
  const facts = make("dl", {}, ...terms);
  if (galaxy.ra === undefined || galaxy.dec === undefined) return facts;
  const link = make("a", { className: "viewer", href: viewerUrl(galaxy), target: "_blank", rel: "noopener noreferrer" });
  link.append("See it in the Legacy Survey viewer ↗");
  return make("div", {}, facts, link);
}

function makeCorrection(galaxy) {
  const options = classes.map((name, index) => make("option", { value: index }, name));
  if (galaxy.label === null) options.unshift(make("option", { value: "" }, "no label"));
  const select = make("select", { id: "correction" }, ...options);
  select.value = corrections.get(galaxy.index) ?? galaxy.label ?? "";
  select.addEventListener("change", () => {
    correct(galaxy, select.value === "" ? null : Number(select.value));
    refreshCorrections();
  });
  return make("label", { className: "correction" }, galaxy.label === null ? "Give it a label " : "Correct the label ", select);
}

function makeNeighbours(galaxy) {
  const cards = galaxy.neighbours.map((index) => {
    const neighbour = galaxies[index];
    const agrees = neighbour.label === (isPool(galaxy) ? galaxy.predicted : galaxy.label);
    const name = `${agrees ? "✓" : "≠"} ${nameOf(neighbour.label)}`;
    const button = make(
      "button",
      { type: "button", className: "neighbour", title: `${name}\nrow ${neighbour.row}, ${neighbour.split}`, data: { index } },
      make("img", { alt: "", src: thumbnailUrl(neighbour), decoding: "async" }),
      make("span", {}, name),
    );
    button.classList.toggle("agrees", agrees);
    button.addEventListener("click", () => {
      openDetail(neighbour);
      detail.querySelector("button").focus();
    });
    return button;
  });
  return make(
    "section",
    { className: "neighbours" },
    make("h3", {}, "Nearest in feature space"),
    make("p", { className: "hint" }, `What the frozen backbone finds most alike among labelled galaxies; ≠ marks another ${isPool(galaxy) ? "class" : "label"}.`),
    make("div", { className: "neighbour-grid" }, ...cards),
  );
}
