// Masks as the server writes them: a half-open box and the lengths of alternating runs inside it.

export function decode(patch) {
  const [x0, y0, x1, y1] = patch.box;
  const bits = new Uint8Array((x1 - x0) * (y1 - y0));
  let position = 0;
  patch.runs.forEach((length, index) => {
    if (index % 2) bits.fill(1, position, position + length);
    position += length;
  });
  return { x0, y0, width: x1 - x0, height: y1 - y0, bits };
}

export function encode({ x0, y0, width, height, bits }) {
  const runs = [];
  let value = 0;
  let length = 0;
  for (const bit of bits) {
    if (bit === value) length += 1;
    else {
      runs.push(length);
      value = bit;
      length = 1;
    }
  }
  if (bits.length) runs.push(length);
  return { box: [x0, y0, x0 + width, y0 + height], runs };
}

export const has = (mask, x, y) =>
  x >= mask.x0 && y >= mask.y0 && x < mask.x0 + mask.width && y < mask.y0 + mask.height &&
  mask.bits[(y - mask.y0) * mask.width + (x - mask.x0)] === 1;

export const area = (mask) => mask.bits.reduce((sum, bit) => sum + bit, 0);

// The same mask with some pixels set or cleared, in a box that is as small as can be.
export function withPixels(mask, changes, bit) {
  const pixels = new Map();
  for (let row = 0; row < mask.height; row += 1)
    for (let column = 0; column < mask.width; column += 1)
      if (mask.bits[row * mask.width + column])
        pixels.set(`${mask.x0 + column},${mask.y0 + row}`, [mask.x0 + column, mask.y0 + row]);
  for (const [x, y] of changes) {
    if (bit) pixels.set(`${x},${y}`, [x, y]);
    else pixels.delete(`${x},${y}`);
  }
  return fromPixels([...pixels.values()]);
}

// The pixels under a round brush that is ``size`` (odd) pixels wide.
export function disc(x, y, size) {
  const reach = Math.floor(size / 2);
  const pixels = [];
  for (let dy = -reach; dy <= reach; dy += 1)
    for (let dx = -reach; dx <= reach; dx += 1)
      if (Math.hypot(dx, dy) <= size / 2) pixels.push([x + dx, y + dy]);
  return pixels;
}

export function fromPixels(pixels) {
  if (!pixels.length) return { x0: 0, y0: 0, width: 0, height: 0, bits: new Uint8Array() };
  const xs = pixels.map(([x]) => x);
  const ys = pixels.map(([, y]) => y);
  const x0 = Math.min(...xs);
  const y0 = Math.min(...ys);
  const width = Math.max(...xs) - x0 + 1;
  const height = Math.max(...ys) - y0 + 1;
  const bits = new Uint8Array(width * height);
  for (const [x, y] of pixels) bits[(y - y0) * width + (x - x0)] = 1;
  return { x0, y0, width, height, bits };
}

// Every edge between a pixel of the mask and one outside it, as a path in pixel coordinates.
export function outline(mask) {
  const path = new Path2D();
  for (let y = mask.y0; y < mask.y0 + mask.height; y += 1)
    for (let x = mask.x0; x < mask.x0 + mask.width; x += 1) {
      if (!has(mask, x, y)) continue;
      const edge = (dx, dy, from, to) => {
        if (has(mask, x + dx, y + dy)) return;
        path.moveTo(...from);
        path.lineTo(...to);
      };
      edge(0, -1, [x, y], [x + 1, y]);
      edge(0, 1, [x, y + 1], [x + 1, y + 1]);
      edge(-1, 0, [x, y], [x, y + 1]);
      edge(1, 0, [x + 1, y], [x + 1, y + 1]);
    }
  return path;
}

// A sky mask of the whole frame after a region (a closed line in pixels) was added or taken away.
export function withRegion(sky, frame, points, bit) {
  const canvas = new OffscreenCanvas(frame.width, frame.height);
  const pen = canvas.getContext("2d", { willReadFrequently: true });
  pen.beginPath();
  points.forEach(([x, y]) => pen.lineTo(x, y));
  pen.fill();
  const painted = pen.getImageData(0, 0, frame.width, frame.height).data;
  const bits = new Uint8Array(frame.width * frame.height);
  for (let y = 0; y < frame.height; y += 1)
    for (let x = 0; x < frame.width; x += 1) {
      const index = y * frame.width + x;
      bits[index] = painted[4 * index + 3] > 127 ? bit : sky && has(sky, x, y) ? 1 : 0;
    }
  return { x0: 0, y0: 0, width: frame.width, height: frame.height, bits };
}

const NEIGHBOURS = [[0, -1], [0, 1], [-1, 0], [1, 0]];

// One pixel more, or less, all around; a mask never shrinks to nothing, nor grows where ``free([x, y])`` is false.
export function resized(mask, step, free) {
  const pixels = [];
  for (let y = mask.y0 - 1; y <= mask.y0 + mask.height; y += 1)
    for (let x = mask.x0 - 1; x <= mask.x0 + mask.width; x += 1) {
      const around = NEIGHBOURS.filter(([dx, dy]) => has(mask, x + dx, y + dy)).length;
      const inside = has(mask, x, y);
      const kept = step > 0 ? inside || around > 0 : inside && around === NEIGHBOURS.length;
      if (kept && (inside || free([x, y]))) pixels.push([x, y]);
    }
  return pixels.length ? fromPixels(pixels) : mask;
}
