// The confusion matrix: a cell filters by label and answer, a heading by one of them.

function drawMatrix() {
  const counts = classes.map(() => classes.map(() => 0));
  for (const galaxy of inView()) counts[galaxy.label][answer(galaxy)] += 1;
  const heads = classes.map((name, answer) =>
    make("th", { scope: "col" }, matrixButton(null, answer, make("span", {}, name), `answered ${name}`)),
  );
  const rows = classes.map((name, label) => {
    const total = counts[label].reduce((a, b) => a + b, 0);
    const cells = counts[label].map((number, answer) => {
      const text = `${name}, answered ${classes[answer]}: ${number} of ${total}`;
      const button = matrixButton(label, answer, number ? count(number) : "", text);
      button.style.setProperty("--share", total ? number / total : 0);
      button.classList.add(label === answer ? "right" : "wrong");
      button.classList.toggle("none", number === 0);
      return make("td", {}, button);
    });
    return make("tr", {}, make("th", { scope: "row" }, matrixButton(label, null, name, `labelled ${name}`)), ...cells);
  });
  const table = make("table", {}, make("thead", {}, make("tr", {}, make("td"), ...heads)), make("tbody", {}, ...rows));
  const held = document.activeElement?.closest("#matrix") ? document.activeElement.dataset : null;
  const focused = held && `[data-label="${held.label}"][data-answer="${held.answer}"]`;
  document.getElementById("matrix").replaceChildren(table);
  // One stop for the Tab key: the arrows do the rest.
  const stop = (focused && table.querySelector(focused)) || table.querySelector("[aria-pressed=true]") || table.querySelector("button");
  stop.tabIndex = 0;
  if (focused) stop.focus();
  const what = state.view === "suspects" ? "suggestion" : "prediction";
  document.getElementById("matrix-title").textContent = state.view === "suspects" ? "Doubtful labels" : "Confusion matrix";
  document.getElementById("matrix-hint").textContent = `Label in rows, ${what} in columns. Click a cell to see its galaxies.`;
}

function matrixButton(label, answer, text, title) {
  const pressed = state.label === label && state.answer === answer;
  const button = make(
    "button",
    { type: "button", tabIndex: -1, title, data: { label: label ?? "", answer: answer ?? "" }, aria: { pressed, label: title } },
    text,
  );
  button.addEventListener("click", () => change(pressed ? { label: null, answer: null } : { label, answer }));
  return button;
}

function moveInMatrix(event) {
  const step = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
  const cell = event.target.closest("td, th");
  if (!step || !cell) return;
  event.preventDefault();
  const row = document.querySelectorAll("#matrix tr")[cell.parentElement.rowIndex + step[0]];
  const next = row?.cells[cell.cellIndex + step[1]]?.querySelector("button");
  if (!next) return;
  event.target.tabIndex = -1;
  next.tabIndex = 0;
  next.focus();
}
