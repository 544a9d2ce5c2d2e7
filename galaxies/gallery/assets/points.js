// What the page knows of its galaxies, column by column, and the colours that stand for it.

const { facts, classes, splits, ids, columns } = JSON.parse(document.getElementById("content").textContent);
const thumbnails = document.getElementById("thumbnails").textContent;
const count = ids.length;

const KINDS = { x: Uint16Array, y: Uint16Array, label: Int16Array, predicted: Int16Array, split: Uint8Array,
  novelty: Uint16Array, confidence: Uint16Array, ra: Float32Array, dec: Float32Array, chars: Uint32Array };
const point = {};
for (const [name, text] of Object.entries(columns)) {
  const binary = atob(text);
  const bytes = new Uint8Array(binary.length);
  for (let place = 0; place < binary.length; place++) bytes[place] = binary.charCodeAt(place);
  point[name] = new KINDS[name](bytes.buffer);
}
const firstChar = new Uint32Array(count + 1);
for (let index = 0; index < count; index++) firstChar[index + 1] = firstChar[index] + point.chars[index];

const hasPicture = (index) => point.chars[index] > 0;
const pictureUrl = (index) => `data:image/webp;base64,${thumbnails.slice(firstChar[index], firstChar[index + 1])}`;
const viewerUrl = (index) =>
  `https://www.legacysurvey.org/viewer?ra=${point.ra[index].toFixed(5)}&dec=${point.dec[index].toFixed(5)}&layer=ls-dr8&zoom=15`;

const isLight = matchMedia("(prefers-color-scheme: light)");
const GREY = { dark: [104, 112, 134], light: [168, 172, 182] };
// The first ten differ in lightness too; more classes take hues a golden angle apart.
const COLOURS = {
  dark: ["#5aa9ff", "#ff9f43", "#4fc3a1", "#ff6b81", "#b48cf2", "#d9b26f", "#f58ac6", "#a5d64c", "#4dd2ee", "#f2d94e"],
  light: ["#2268c4", "#d9700f", "#0c8466", "#cc2f49", "#7c4fd0", "#8a6a2a", "#c04a92", "#5d8f0c", "#0f8fae", "#a88a00"],
};
const theme = () => (isLight.matches ? "light" : "dark");

function categoryColour(number) {
  if (number < 0) return GREY[theme()];
  const listed = COLOURS[theme()][number];
  if (listed) return [1, 3, 5].map((start) => parseInt(listed.slice(start, start + 2), 16));
  const hue = (number * 137.508) % 360, lightness = isLight.matches ? 0.42 : 0.64;
  const part = (shift) => {
    const place = (shift + hue / 30) % 12;
    return Math.round(255 * (lightness - 0.28 * Math.max(-1, Math.min(place - 3, 9 - place, 1))));
  };
  return [part(0), part(8), part(4)];
}

// From dark blue by green to yellow, light enough at the low end to be seen on the sky; by day the other way round.
const STOPS = { dark: ["#46489c", "#2f7fb0", "#2fb08f", "#a3d35a", "#fdee6b"], light: ["#d8c400", "#6fae2f", "#1d8a86", "#35509f", "#431a6b"] };
const RAMPS = {};
for (const [name, stops] of Object.entries(STOPS)) {
  const parts = stops.map((stop) => [1, 3, 5].map((start) => parseInt(stop.slice(start, start + 2), 16)));
  RAMPS[name] = Array.from({ length: 256 }, (_, step) => {
    const place = (step / 255) * (stops.length - 1), low = Math.min(Math.floor(place), stops.length - 2);
    return parts[low].map((from, channel) => Math.round(from + (parts[low + 1][channel] - from) * (place - low)));
  });
}
const css = ([red, green, blue]) => `rgb(${red} ${green} ${blue})`;

// What can be shown as colour. Categories have a number a galaxy, -1 is none; scales a number from 0 to 1.
const quantile = (column, share) => Float64Array.from(column).sort()[Math.floor(share * (count - 1))];
const MODES = [
  { name: "Class", key: "label", names: classes, none: "no label" },
  ...(point.predicted ? [{ name: "Prediction", key: "predicted", names: classes, none: "" }] : []),
  ...(point.confidence ? [{ name: "Confidence", key: "confidence", low: Math.min(1000 / Math.max(classes.length, 1), 900), high: 1000,
    ends: [`${Math.round(100 / Math.max(classes.length, 1))} %`, "100 %"] }] : []),
  { name: "Novelty", key: "novelty", low: quantile(point.novelty, 0.01), high: Math.max(quantile(point.novelty, 0.99), 1001),
    ends: ["familiar", "novel"] },
  { name: "Split", key: "split", names: splits, none: "" },
].filter((mode) => !mode.names || mode.names.length);
// Without any label the classes come last.
if (MODES[0].key === "label" && !point.label.some((label) => label >= 0)) MODES.push(MODES.shift());
