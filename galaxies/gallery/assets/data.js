// What the page knows: the galaxies, what follows from their probabilities, and the labels given here.

const { classes, facts, galaxies, numPool } = JSON.parse(document.getElementById("content").textContent);
const thumbnails = document.getElementById("thumbnails").textContent;

let numChars = 0;
galaxies.forEach((galaxy, index) => {
  galaxy.index = index;
  galaxy.firstChar = numChars;
  numChars += galaxy.chars;
  if (galaxy.probabilities) Object.assign(galaxy, judge(galaxy.probabilities, galaxy.label));
});

function judge(probabilities, label) {
  const ranked = [...probabilities.keys()].sort((a, b) => probabilities[b] - probabilities[a] || a - b);
  const [first, second] = ranked;
  return {
    ranked,
    predicted: first,
    confidence: probabilities[first],
    margin: probabilities[first] - (probabilities[second] ?? 0),
    loss: label === null ? undefined : -Math.log(Math.max(probabilities[label], Number.MIN_VALUE)),
  };
}

// A thumbnail costs nothing until it is asked for: its base64 is cut from the one long text.
function thumbnailUrl({ firstChar, chars }) {
  return `data:image/webp;base64,${thumbnails.slice(firstChar, firstChar + chars)}`;
}

function viewerUrl({ ra, dec }) {
  return `https://www.legacysurvey.org/viewer?ra=${ra.toFixed(6)}&dec=${dec.toFixed(6)}&layer=ls-dr8&zoom=15`;
}

// Index of a galaxy -> the class that it was given here.
const corrections = new Map();

function correct(galaxy, label) {
  if (label === galaxy.label) corrections.delete(galaxy.index);
  else corrections.set(galaxy.index, label);
}

// In the form that split.labels reads.
function correctionsCsv() {
  const quote = (text) => (/[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
  const indices = [...corrections.keys()].sort((a, b) => a - b);
  const lines = indices.map((index) => `${quote(galaxies[index].id)},${quote(classes[corrections.get(index)])}\n`);
  return "id,label\n" + lines.join("");
}

// The name of a class, or of none.
const nameOf = (label) => (label === null ? "no class" : classes[label]);

const percent = (share) => `${(100 * share).toFixed(0)}\u202f%`;
const count = (number) => number.toLocaleString("en");

// Text from outside only ever becomes a text node.
function make(tag, properties = {}, ...children) {
  const { data, aria, ...plain } = properties;
  const element = Object.assign(document.createElement(tag), plain);
  Object.assign(element.dataset, data);
  for (const [name, value] of Object.entries(aria ?? {})) element.setAttribute(`aria-${name}`, value);
  element.append(...children);
  return element;
}
