// What ties the parts together: one change of the state, one redraw; keys and clicks.

const field = (name) => document.getElementById(name);

function change(changes) {
  Object.assign(state, changes);
  draw();
  window.scrollTo({ top: 0 });
}

function draw() {
  for (const tab of field("views").children) {
    const isSelected = tab.dataset.view === state.view;
    tab.setAttribute("aria-selected", isSelected);
    tab.tabIndex = isSelected ? 0 : -1;
  }
  const isSuspects = state.view === "suspects";
  const isOfPool = views[state.view].list !== undefined;
  field("sort").querySelector("[value=rank]").hidden = !isSuspects;
  for (const name of ["list", "-novelty"]) field("sort").querySelector(`[value="${name}"]`).hidden = !isOfPool;
  for (const name of ["loss", "-loss"]) field("sort").querySelector(`[value="${name}"]`).hidden = isOfPool;
  // Where no galaxy has a label there is nothing to hold an answer against.
  field("matrix-section").hidden = isOfPool;
  field("label").parentElement.hidden = isOfPool;
  field("verdict").parentElement.hidden = state.view !== "all";
  field("answer-name").textContent = isSuspects ? "Suggestion" : "Prediction";
  field("label").value = state.label ?? "";
  field("answer").value = state.answer ?? "";
  for (const name of ["verdict", "sort", "query"]) field(name).value = state[name];
  if (!isOfPool) drawMatrix();
  drawGalaxies();
  refreshCorrections();
}

function refreshCards() {
  grid.querySelectorAll(".card").forEach(refreshCard);
}

function refreshCorrections() {
  field("export").hidden = state.view !== "suspects" && !views[state.view].list && corrections.size === 0;
  field("take-all").hidden = state.view !== "suspects";
  field("download").textContent = `Download ${count(corrections.size)} ${corrections.size === 1 ? "label" : "labels"} (CSV)`;
  field("download").disabled = corrections.size === 0;
  refreshCards();
}

// What is suggested instead of a doubtful label, or as the label of a galaxy that has none.
function takeSuggestion(galaxy) {
  const suggested = galaxy.suspicion?.suggested ?? (isPool(galaxy) ? galaxy.predicted : undefined);
  if (suggested === undefined) return;
  correct(galaxy, corrections.has(galaxy.index) ? galaxy.label : suggested);
  refreshCorrections();
  if (state.open === galaxy) field("correction").value = corrections.get(galaxy.index) ?? galaxy.label ?? "";
}

function download() {
  const url = URL.createObjectURL(new Blob([correctionsCsv()], { type: "text/csv" }));
  make("a", { href: url, download: "labels.csv" }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

function showView(view) {
  // A filter by verdict is of the first view only: the others have their own.
  if (state.open) closeDetail();
  change({ view, sort: views[view].sort, verdict: "", label: views[view].list ? null : state.label });
}

function makeTab([view, { name, keeps }]) {
  const number = make("span", { className: "count" }, count(galaxies.filter(keeps).length));
  const tab = make("button", { type: "button", role: "tab", data: { view } }, name, view === "pairs" ? "" : number);
  tab.addEventListener("click", () => showView(view));
  return tab;
}

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "Escape" && state.open) {
    closeDetail();
    return;
  }
  if (event.target.closest("input, select, summary")) return;
  if (event.target.closest("#matrix")) {
    moveInMatrix(event);
    return;
  }
  const tab = event.target.closest("[role=tab]");
  if (tab && (event.key === "ArrowLeft" || event.key === "ArrowRight")) {
    event.preventDefault();
    const next = event.key === "ArrowLeft" ? tab.previousElementSibling : tab.nextElementSibling;
    if (next) {
      showView(next.dataset.view);
      next.focus();
    }
    return;
  }
  onKeyInGrid(event);
}

function onKeyInGrid(event) {
  const current = grid.querySelector(".card[tabindex='0']");
  if (!current) return;
  if (event.key.toLowerCase() === "c") {
    takeSuggestion(state.open ?? galaxies[current.dataset.index]);
  } else if (["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown", "Home", "End"].includes(event.key)) {
    event.preventDefault();
    // The first arrow leads into the galaxies; from then on it moves among them.
    if (!event.target.closest(".card") && !state.open) current.focus();
    else {
      const next = moveInGrid(current, event.key);
      if (next && state.open) openDetail(galaxies[next.dataset.index]);
    }
  }
}

function start() {
  const test = galaxies.filter(isTest);
  const numRight = test.filter((galaxy) => !isWrong(galaxy)).length;
  const known = [`${count(test.length)} galaxies the head has not seen`, `${percent(numRight / test.length)} right`];
  if (numPool) known.push(`${count(numPool)} without a label`);
  field("facts").textContent = [...known, ...Object.entries(facts).map(([name, value]) => `${name} ${value}`)].join(" · ");
  if (numPool) document.title = field("title").textContent = "Test galaxies and the pool";
  field("views").append(...Object.entries(views).map(makeTab));
  for (const name of ["label", "answer"]) {
    field(name).append(make("option", { value: "" }, "All classes"), ...classes.map((text, value) => make("option", { value }, text)));
    field(name).addEventListener("change", ({ target }) => change({ [name]: target.value === "" ? null : Number(target.value) }));
  }
  field("sort").append(...Object.entries(sorts).map(([value, { name }]) => make("option", { value }, name)));
  for (const name of ["sort", "verdict"]) field(name).addEventListener("change", ({ target }) => change({ [name]: target.value }));
  field("query").addEventListener("input", ({ target }) => change({ query: target.value }));
  field("filters").addEventListener("submit", (event) => event.preventDefault());
  field("filters").addEventListener("reset", (event) => {
    event.preventDefault();
    change({ label: null, answer: null, verdict: "", query: "" });
  });
  field("take-all").addEventListener("click", () => {
    for (const galaxy of selected()) correct(galaxy, galaxy.suspicion.suggested);
    refreshCorrections();
  });
  field("download").addEventListener("click", download);
  grid.addEventListener("click", ({ target }) => {
    const card = target.closest(".card");
    if (!card) return;
    grid.querySelectorAll(".card[tabindex='0']").forEach((other) => (other.tabIndex = -1));
    card.tabIndex = 0;
    openDetail(galaxies[card.dataset.index]);
  });
  document.addEventListener("keydown", onKey);
  // On a telephone the galaxies come first.
  if (window.matchMedia("(max-width: 760px)").matches) field("drawer").open = false;
  draw();
}

start();
