// The frame on the canvas: nearest-neighbour pixels, zoom to the cursor, window and level, masks as thin outlines.

import { outline } from "./masks.js";

const MARK = "#50ff78";
const CHOSEN = "#ff5ce1";
const DOUBTFUL = "#ffc857";
const RING = "#6cb6ff";
const RIM = "#0008";
const SKY = [90, 150, 255, 60];
const LOUPE_PIXELS = 19;
// On the screen, in pixels of the canvas: what is smaller gets a ring, and how large a target is shown on demand.
const TINY = 14;
const TINY_RING = 11;
const REVEALED = 40;
const RING_WIDTH = 2;

export class View {
  constructor(canvas, loupe) {
    this.canvas = canvas;
    this.loupe = loupe;
    this.frame = null;
    this.scale = 1;
    this.offset = [0, 0];
    this.level = 0.5;
    this.window = 1;
    this.targets = [];
    this.rings = [];
    this.waiting = [];
    this.line = [];
    this.brush = 0;
    this.cursor = null;
    this.chosen = null;
    this.showRings = true;
    new ResizeObserver(() => this.resize()).observe(canvas);
  }

  show(frame) {
    this.frame = frame;
    this.picture = new OffscreenCanvas(frame.width, frame.height);
    this.skyPicture = null;
    this.autoContrast();
    this.resize();
    this.fit();
  }

  // Nothing of the frame before stays: not the pixel under the mouse either, until the mouse moves again.
  clear() {
    Object.assign(this, { frame: null, targets: [], skyPicture: null, cursor: null });
    this.loupe.getContext("2d").reset();
    this.draw();
  }

  resize() {
    const ratio = devicePixelRatio;
    this.canvas.width = Math.round(this.canvas.clientWidth * ratio);
    this.canvas.height = Math.round(this.canvas.clientHeight * ratio);
    this.draw();
  }

  fit() {
    if (!this.frame) return;
    const { width, height } = this.canvas;
    this.scale = 0.96 * Math.min(width / this.frame.width, height / this.frame.height);
    this.offset = [(width - this.frame.width * this.scale) / 2, (height - this.frame.height * this.scale) / 2];
    this.draw();
  }

  // Canvas position of an event, and the frame position under it; pixel centres are whole numbers.
  at(event) {
    const box = this.canvas.getBoundingClientRect();
    const canvas = [(event.clientX - box.left) * devicePixelRatio, (event.clientY - box.top) * devicePixelRatio];
    return { canvas, frame: this.toFrame(canvas) };
  }

  toFrame([x, y]) {
    return [(x - this.offset[0]) / this.scale - 0.5, (y - this.offset[1]) / this.scale - 0.5];
  }

  inside([x, y]) {
    return this.frame && x >= -0.5 && y >= -0.5 && x < this.frame.width - 0.5 && y < this.frame.height - 0.5;
  }

  zoom(factor, [x, y]) {
    const scale = Math.min(Math.max(this.scale * factor, 0.05), 200);
    this.offset = [x - ((x - this.offset[0]) * scale) / this.scale, y - ((y - this.offset[1]) * scale) / this.scale];
    this.scale = scale;
    this.draw();
  }

  pan(dx, dy) {
    this.offset = [this.offset[0] + dx, this.offset[1] + dy];
    this.draw();
  }

  // A mask in the middle, and large enough to be seen.
  reveal(mask) {
    if (!this.frame) return;
    const { width, height } = this.canvas;
    this.scale = Math.max(this.scale, REVEALED / Math.max(mask.width, mask.height, 4));
    this.offset = [width / 2 - (mask.x0 + mask.width / 2) * this.scale, height / 2 - (mask.y0 + mask.height / 2) * this.scale];
    this.draw();
  }

  value([x, y]) {
    return this.frame.values[Math.round(y) * this.frame.width + Math.round(x)];
  }

  // Half a percent at either end may saturate; targets are few enough to stay above the window.
  autoContrast() {
    const counts = new Uint32Array(65536);
    for (const value of this.frame.values) counts[value] += 1;
    const allowed = this.frame.values.length * 0.005;
    const edge = (start, step) => {
      let seen = 0;
      let value = start;
      while (value >= 0 && value < 65536 && (seen += counts[value]) <= allowed) value += step;
      return Math.min(Math.max(value, 0), 65535) / 65535;
    };
    const low = edge(0, 1);
    const high = edge(65535, -1);
    const room = Math.max((high - low) * 0.25, 1 / 255);
    this.setContrast((low + high + room) / 2, Math.min(high - low + room, 1));
  }

  setContrast(level, window) {
    this.level = level;
    this.window = Math.max(window, 0.001);
    this.paint();
    this.draw();
  }

  paint() {
    const { width, height, values } = this.frame;
    const low = (this.level - this.window / 2) * 65535;
    const gain = 255 / (this.window * 65535);
    const grey = new Uint8ClampedArray(65536);
    for (let value = 0; value < 65536; value += 1) grey[value] = (value - low) * gain;
    const image = new ImageData(width, height);
    const words = new Uint32Array(image.data.buffer);
    for (let index = 0; index < values.length; index += 1) words[index] = 0xff000000 | (grey[values[index]] * 0x10101);
    this.picture.getContext("2d").putImageData(image, 0, 0);
  }

  setSky(sky) {
    this.skyPicture = null;
    if (sky && sky.width && sky.height) {
      this.skyPicture = { canvas: new OffscreenCanvas(sky.width, sky.height), x: sky.x0, y: sky.y0 };
      const image = new ImageData(sky.width, sky.height);
      sky.bits.forEach((bit, index) => bit && image.data.set(SKY, 4 * index));
      this.skyPicture.canvas.getContext("2d").putImageData(image, 0, 0);
    }
  }

  setTargets(targets) {
    this.targets = targets.map((target) => ({ ...target, path: outline(target.mask) }));
  }

  draw() {
    if (this.drawing) return;
    this.drawing = requestAnimationFrame(() => {
      this.drawing = 0;
      this.drawNow();
    });
  }

  drawNow() {
    const pen = this.canvas.getContext("2d");
    pen.setTransform(1, 0, 0, 1, 0, 0);
    pen.clearRect(0, 0, this.canvas.width, this.canvas.height);
    if (!this.frame) return;
    this.drawFrame(pen, this.scale, this.offset);
    if (this.cursor && this.inside(this.cursor)) this.drawLoupe();
  }

  drawFrame(pen, scale, [left, top]) {
    pen.setTransform(scale, 0, 0, scale, left, top);
    pen.imageSmoothingEnabled = false;
    pen.drawImage(this.picture, 0, 0);
    if (this.skyPicture) pen.drawImage(this.skyPicture.canvas, this.skyPicture.x, this.skyPicture.y);
    pen.lineWidth = 1 / scale;
    for (const target of this.targets) {
      pen.strokeStyle = target.id === this.chosen ? CHOSEN : target.doubtful ? DOUBTFUL : MARK;
      pen.stroke(target.path);
      const { x0, y0, width, height } = target.mask;
      if (Math.max(width, height) * scale < TINY) circle(pen, x0 + width / 2, y0 + height / 2, TINY_RING / scale);
    }
    if (this.showRings) this.drawRings(pen, scale);
    pen.strokeStyle = DOUBTFUL;
    for (const { x, y } of this.waiting) circle(pen, x + 0.5, y + 0.5, TINY_RING / 2 / scale);
    if (this.brush && this.cursor) {
      pen.strokeStyle = MARK;
      circle(pen, Math.round(this.cursor[0]) + 0.5, Math.round(this.cursor[1]) + 0.5, this.brush / 2);
    }
    if (this.line.length > 1) {
      pen.strokeStyle = RING;
      pen.beginPath();
      this.line.forEach(([x, y]) => pen.lineTo(x + 0.5, y + 0.5));
      pen.stroke();
    }
  }

  drawRings(pen, scale) {
    pen.strokeStyle = RING;
    pen.lineWidth = RING_WIDTH / scale;
    pen.setLineDash([4 / scale, 4 / scale]);
    for (const ring of this.rings) circle(pen, ring.x + 0.5, ring.y + 0.5, Math.max(ring.radius, TINY_RING / scale));
    pen.setLineDash([]);
    pen.lineWidth = 1 / scale;
  }

  drawLoupe() {
    const pen = this.loupe.getContext("2d");
    const scale = this.loupe.width / LOUPE_PIXELS;
    const half = Math.floor(LOUPE_PIXELS / 2);
    pen.setTransform(1, 0, 0, 1, 0, 0);
    pen.clearRect(0, 0, this.loupe.width, this.loupe.height);
    this.drawFrame(pen, scale, [(half - Math.round(this.cursor[0])) * scale, (half - Math.round(this.cursor[1])) * scale]);
  }
}

// A circle on a dark rim, so that it is seen on a bright sky as well.
function circle(pen, x, y, radius) {
  const { strokeStyle, lineWidth } = pen;
  pen.beginPath();
  pen.arc(x, y, radius, 0, 2 * Math.PI);
  const dashes = pen.getLineDash();
  pen.setLineDash([]);
  Object.assign(pen, { strokeStyle: RIM, lineWidth: 2.5 * lineWidth });
  pen.stroke();
  pen.setLineDash(dashes);
  Object.assign(pen, { strokeStyle, lineWidth });
  pen.stroke();
}
