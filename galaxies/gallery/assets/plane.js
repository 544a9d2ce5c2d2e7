// The plane: where each point stands on the screen, how it is drawn, and which one is under the pointer.

const canvas = document.getElementById("plane");
const context = canvas.getContext("2d", { alpha: false, willReadFrequently: true }); // Pixels are made here, not on a GPU.
const view = { scale: 1, left: 0, top: 0 }; // pixels a step of the plane; pixels of its corner
const state = { mode: MODES[0], hidden: new Set(), open: -1, hover: -1, pictures: false };
const colour = new Uint32Array(count); // of each point, 0x00bbggrr
let visible = new Uint8Array(count).fill(1);

// Points of all colours mixed, so that the last class does not cover the others; those without a class lie below.
const order = Uint32Array.from({ length: count }, (_, index) => index);
let seed = 1;
for (let last = count - 1; last > 0; last--) {
  seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
  const other = Math.floor((seed / 2 ** 32) * (last + 1));
  [order[last], order[other]] = [order[other], order[last]];
}
const below = order.filter((index) => point.label[index] < 0), above = order.filter((index) => point.label[index] >= 0);
order.set(below);
order.set(above, below.length);

function refreshColours() {
  const { mode } = state, ramp = RAMPS[theme()], column = point[mode.key];
  const pack = ([red, green, blue]) => red | (green << 8) | (blue << 16);
  const packed = mode.names ? [-1, ...mode.names.keys()].map((number) => pack(categoryColour(number))) : ramp.map(pack);
  for (let index = 0; index < count; index++) {
    const value = column[index];
    const step = mode.names ? value + 1 : Math.max(0, Math.min(255, Math.round((255 * (value - mode.low)) / (mode.high - mode.low))));
    colour[index] = packed[step];
    visible[index] = mode.names && state.hidden.has(value) ? 0 : 1;
  }
}

const screenX = (index) => point.x[index] * view.scale + view.left;
const screenY = (index) => (65535 - point.y[index]) * view.scale + view.top;

function fitView() {
  const box = { width: canvas.clientWidth, height: canvas.clientHeight }, margin = 30;
  const controls = box.width > 700 ? 260 : 0; // Room for what floats on the left.
  const top = box.width > 700 ? margin : 70;
  view.scale = Math.min(box.width - controls - 2 * margin, box.height - top - margin) / 65535;
  view.left = controls + (box.width - controls - 65535 * view.scale) / 2;
  view.top = top + (box.height - top - margin - 65535 * view.scale) / 2;
  view.fitted = view.scale;
}

function zoomAt(x, y, factor) {
  const scale = Math.max(view.fitted / 2, Math.min(view.scale * factor, view.fitted * 400));
  view.left = x - ((x - view.left) * scale) / view.scale;
  view.top = y - ((y - view.top) * scale) / view.scale;
  view.scale = scale;
  requestDraw();
}

// Many points are small and let others shine through; they grow while one zooms in.
function pointRadius() {
  const crowd = Math.max(0.8, Math.min(3.4, 190 / Math.sqrt(Math.max(count, 1))));
  return Math.min(crowd * Math.sqrt(view.scale / view.fitted), 7);
}

// A disc as pixels and their weights, for each of 4 x 4 places within a pixel: small points would be crosses otherwise.
const PHASES = 4;
function makeStamps(radius) {
  const reach = Math.ceil(radius) + 1, opacity = Math.max(0.55, Math.min(0.9, 0.35 + 0.2 * radius));
  const stamps = Array.from({ length: PHASES * PHASES }, (_, phase) => {
    const middleX = ((phase % PHASES) + 0.5) / PHASES, middleY = (Math.floor(phase / PHASES) + 0.5) / PHASES, weights = [];
    for (let y = -reach; y <= reach; y++)
      for (let x = -reach; x <= reach; x++) {
        const inside = Math.max(0, Math.min(1, radius + 0.5 - Math.hypot(x + 0.5 - middleX, y + 0.5 - middleY)));
        if (inside > 0.02) weights.push([x, y, Math.round(256 * opacity * inside)]);
      }
    return weights;
  });
  return { reach, stamps };
}

let pending = false;
function requestDraw() {
  if (!pending) requestAnimationFrame(drawPlane);
  pending = true;
}

function drawPlane() {
  pending = false;
  const ratio = window.devicePixelRatio || 1;
  const width = Math.round(canvas.clientWidth * ratio), height = Math.round(canvas.clientHeight * ratio);
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  const image = context.createImageData(width, height), pixels = new Uint32Array(image.data.buffer);
  const sky = isLight.matches ? 0xf4f7f7 : 0x130d0b;
  pixels.fill((0xff000000 | sky) >>> 0);
  const { reach, stamps } = makeStamps(pointRadius() * ratio);
  for (const index of state.pictures ? [] : order) {
    if (!visible[index]) continue;
    const exactX = screenX(index) * ratio, exactY = screenY(index) * ratio, x = Math.floor(exactX), y = Math.floor(exactY);
    if (x < reach || y < reach || x >= width - reach || y >= height - reach) continue;
    const weights = stamps[Math.floor((exactY - y) * PHASES) * PHASES + Math.floor((exactX - x) * PHASES)];
    const ink = colour[index], red = ink & 255, green = (ink >> 8) & 255, blue = ink >> 16;
    for (const [dx, dy, weight] of weights) {
      const place = (y + dy) * width + x + dx, under = pixels[place], rest = 256 - weight;
      pixels[place] = 0xff000000
        | (((under & 255) * rest + red * weight) >> 8)
        | ((((under >> 8) & 255) * rest + green * weight) & 0xff00)
        | (((((under >> 16) & 255) * rest + blue * weight) >> 8) << 16);
    }
  }
  context.putImageData(image, 0, 0);
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  if (state.pictures) drawPictures();
  for (const [index, width] of [[state.hover, 1.5], [state.open, 2.5]]) if (index >= 0) drawRing(index, width);
  window.drawn = true;
}

function drawRing(index, width) {
  context.beginPath();
  context.arc(screenX(index), screenY(index), pointRadius() + 5, 0, 2 * Math.PI);
  context.lineWidth = width;
  context.strokeStyle = isLight.matches ? "#1b1d24" : "#ffffff";
  context.stroke();
}

// One picture a cell of the screen: the galaxy nearest to its middle.
const CELL = 52;
const pictures = new Map();
function drawPictures() {
  const across = Math.ceil(canvas.clientWidth / CELL), down = Math.ceil(canvas.clientHeight / CELL);
  const best = new Int32Array(across * down).fill(-1), distances = new Float32Array(across * down).fill(Infinity);
  for (let index = 0; index < count; index++) {
    if (!visible[index] || !hasPicture(index)) continue;
    const x = screenX(index) / CELL, y = screenY(index) / CELL;
    if (x < 0 || y < 0 || x >= across || y >= down) continue;
    const cell = Math.floor(y) * across + Math.floor(x), distance = Math.hypot((x % 1) - 0.5, (y % 1) - 0.5);
    if (distance < distances[cell]) [distances[cell], best[cell]] = [distance, index];
  }
  best.forEach((index, cell) => {
    if (index < 0) return;
    const left = (cell % across) * CELL + 2, top = Math.floor(cell / across) * CELL + 2, picture = findPicture(index);
    const ink = colour[index];
    context.fillStyle = css([ink & 255, (ink >> 8) & 255, ink >> 16]);
    context.fillRect(left, top, CELL - 4, CELL - 4);
    if (picture.complete && picture.naturalWidth) context.drawImage(picture, left + 2, top + 2, CELL - 8, CELL - 8);
  });
}

function findPicture(index) {
  if (!pictures.has(index)) {
    if (pictures.size > 4000) pictures.clear();
    const picture = new Image();
    picture.addEventListener("load", requestDraw);
    picture.src = pictureUrl(index);
    pictures.set(index, picture);
  }
  return pictures.get(index);
}

function nearestTo(x, y, reach) {
  let found = -1, nearest = reach * reach;
  for (let index = 0; index < count; index++) {
    if (!visible[index]) continue;
    const across = screenX(index) - x, down = screenY(index) - y, distance = across * across + down * down;
    if (distance < nearest) [nearest, found] = [distance, index];
  }
  return found;
}

// The galaxies with a picture that are nearest in the plane.
function nearestPictures(index, number) {
  const found = [];
  for (let other = 0; other < count; other++) {
    if (other === index || !hasPicture(other)) continue;
    const distance = (point.x[other] - point.x[index]) ** 2 + (point.y[other] - point.y[index]) ** 2;
    if (found.length === number && distance >= found[number - 1][0]) continue;
    const place = found.findIndex(([further]) => further > distance);
    found.splice(place < 0 ? found.length : place, 0, [distance, other]);
    if (found.length > number) found.pop();
  }
  return found.map(([, other]) => other);
}
