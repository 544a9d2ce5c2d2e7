// Which galaxies are shown, and in which order.

// The two likeliest classes are nearer to each other than this.
const UNSURE_MARGIN = 0.1;

const isTest = (galaxy) => galaxy.split === "test" && galaxy.probabilities !== undefined;
const isPool = (galaxy) => galaxy.lists !== undefined;
const isWrong = (galaxy) => galaxy.predicted !== galaxy.label;

const views = {
  all: {
    name: "All",
    about: "",
    sort: "row",
    keeps: isTest,
  },
  mistakes: {
    name: "Confident mistakes",
    about: "Predictions that differ from the label. The most confident come first: they teach most, or their label is wrong.",
    sort: "-confidence",
    keeps: (galaxy) => isTest(galaxy) && isWrong(galaxy),
  },
  pairs: {
    name: "Confused pairs",
    about: "The classes most often taken for each other, with the most confident examples.",
    sort: "-confidence",
    keeps: (galaxy) => isTest(galaxy) && isWrong(galaxy),
  },
  unsure: {
    name: "Unsure",
    about: `The two likeliest classes are within ${percent(UNSURE_MARGIN)} of each other.`,
    sort: "margin",
    keeps: (galaxy) => isTest(galaxy) && galaxy.margin < UNSURE_MARGIN,
  },
  suspects: {
    name: "Suspected labels",
    about:
      "Galaxies of all splits whose label is probably wrong: a logistic regression that has not seen the galaxy claims " +
      "another class with confidence, and at least half of its nearest neighbours bear that class. Look before you take a suggestion.",
    sort: "rank",
    keeps: (galaxy) => galaxy.suspicion !== undefined,
  },
};

// Of the galaxies without a label, those of a list.
const poolView = (list, name, about) => ({ name, about, list, sort: "list", keeps: (galaxy) => galaxy.lists?.[list] !== undefined });

if (numPool) {
  const asked = "Open one to give it a label; C takes the prediction.";
  views["pool-unsure"] = poolView("unsure", "Pool: least sure", `The head is least sure of these: a label for them teaches it most. ${asked}`);
  views["pool-novel"] = poolView("novel", "Pool: most novel", `Least like the labelled galaxies: rare kinds, and broken images. ${asked}`);
  views["pool-confident"] = poolView("confident", "Pool: most confident", `The surest answers of each class, class after class. ${asked}`);
}

const sorts = {
  list: { name: "Order of the list", key: (galaxy) => galaxy.lists?.[views[state.view].list] },
  "-novelty": { name: "Most novel", key: (galaxy) => -galaxy.novelty },
  rank: { name: "Most suspicious", key: (galaxy) => galaxy.suspicion?.rank },
  row: { name: "Row", key: (galaxy) => galaxy.row },
  "-confidence": { name: "Most confident", key: (galaxy) => -galaxy.confidence },
  confidence: { name: "Least confident", key: (galaxy) => galaxy.confidence },
  margin: { name: "Smallest margin", key: (galaxy) => galaxy.margin },
  "-margin": { name: "Largest margin", key: (galaxy) => -galaxy.margin },
  "-loss": { name: "Highest loss", key: (galaxy) => -galaxy.loss },
  loss: { name: "Lowest loss", key: (galaxy) => galaxy.loss },
};

// `label` and `answer` are classes or null; `verdict` is "", "right" or "wrong".
const state = { view: "all", label: null, answer: null, verdict: "", sort: "row", query: "", open: null };

// What is held against the label: the head's prediction, or what is suggested instead of a doubtful label.
const answer = (galaxy) => (state.view === "suspects" ? galaxy.suspicion?.suggested : galaxy.predicted);

// What the matrix counts: the view without its filters by class.
function inView() {
  const query = state.query.trim().toLowerCase();
  return galaxies.filter(
    (galaxy) =>
      views[state.view].keeps(galaxy) &&
      (state.verdict === "" || (state.verdict === "wrong") === (answer(galaxy) !== galaxy.label)) &&
      (query === "" || galaxy.id.toLowerCase().includes(query) || String(galaxy.row) === query),
  );
}

function selected() {
  const { key } = sorts[state.sort];
  // What has no such number, as a train galaxy has no confidence, comes last.
  const number = (galaxy) => (Number.isFinite(key(galaxy)) ? key(galaxy) : Infinity);
  return inView()
    .filter((galaxy) => state.label === null || galaxy.label === state.label)
    .filter((galaxy) => state.answer === null || answer(galaxy) === state.answer)
    .map((galaxy) => [number(galaxy), galaxy])
    .sort(([a, first], [b, second]) => (a === b ? first.row - second.row : a < b ? -1 : 1))
    .map(([, galaxy]) => galaxy);
}

// The pairs of classes that are confused, most often first: [{ label, answer, members }].
function confusedPairs(shown) {
  const pairs = Map.groupBy(shown, (galaxy) => galaxy.label * classes.length + galaxy.predicted);
  return [...pairs]
    .map(([pair, members]) => ({ label: Math.floor(pair / classes.length), answer: pair % classes.length, members }))
    .sort((a, b) => b.members.length - a.members.length || a.label - b.label || a.answer - b.answer);
}
