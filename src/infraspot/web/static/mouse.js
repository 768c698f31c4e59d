// What the mouse does on the frame: clicks, pans, strokes of brush and eraser, and lines around the sky.

import { decode, disc, encode, has, withPixels, withRegion } from "./masks.js";

export class Mouse {
  // ``deeds`` are the page's functions that act; ``readout`` shows the pixel under the mouse.
  constructor(view, page, deeds, readout) {
    Object.assign(this, { view, page, deeds, readout, stroke: null });
  }

  listen() {
    const canvas = this.view.canvas;
    canvas.onpointerdown = (event) => this.press(event);
    canvas.onpointermove = (event) => this.move(event);
    canvas.onpointerup = (event) => this.release(event);
    canvas.onpointercancel = () => this.cancel();
    canvas.onpointerleave = () => this.leave();
    canvas.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
  }

  targetAt(x, y) {
    return this.page.state?.targets.find((target) => has(this.deeds.maskOf(target), Math.round(x), Math.round(y)));
  }

  ringAt([x, y]) {
    const { showRings, rings } = this.view;
    return showRings && rings.find((ring) => Math.hypot(ring.x - x, ring.y - y) <= ring.radius);
  }

  press(event) {
    if (!this.view.frame || !this.page.state || event.button > 1) return;
    this.view.canvas.setPointerCapture(event.pointerId);
    const { canvas, frame } = this.view.at(event);
    const panning = event.button === 1 || this.page.tool === "target";
    this.stroke = { canvas, moved: false, panning, start: frame, mask: null, opened: this.page.opened };
    if (!panning && this.page.tool === "sky") this.view.line = [frame];
    if (!panning && this.page.tool !== "sky") this.paint(frame);
  }

  move(event) {
    if (!this.view.frame) return;
    const { canvas, frame } = this.view.at(event);
    this.view.cursor = frame;
    const stroke = this.stroke;
    if (stroke?.panning) {
      const [dx, dy] = [canvas[0] - stroke.canvas[0], canvas[1] - stroke.canvas[1]];
      if (stroke.moved || Math.hypot(dx, dy) > 4) {
        Object.assign(stroke, { moved: true, canvas });
        this.view.pan(dx, dy);
      }
    } else if (stroke && this.page.tool === "sky") this.view.line.push(frame);
    else if (stroke) this.paint(frame);
    this.readOut(frame);
    this.view.draw();
  }

  release(event) {
    const stroke = this.stroke;
    this.stroke = null;
    if (!stroke || stroke.opened !== this.page.opened) return;
    if (stroke.panning) {
      if (!stroke.moved && event.button === 0) this.clickAt(stroke.start);
    } else if (this.page.tool === "sky") this.closeRegion(event.altKey ? 0 : 1);
    else if (stroke.mask) this.deeds.finishStroke(stroke.target, stroke.mask);
  }

  // The system took the pointer away: nothing of the stroke counts.
  cancel() {
    const stroke = this.stroke;
    this.stroke = null;
    this.view.line = [];
    if (stroke?.opened === this.page.opened) this.deeds.showTargets();
  }

  leave() {
    this.view.cursor = null;
    this.view.draw();
  }

  clickAt(position) {
    if (!this.view.inside(position)) return;
    const ring = this.ringAt(position);
    const target = this.targetAt(...position);
    if (target) this.deeds.pick(target.id);
    else this.deeds.mark(...(ring ? [ring.x, ring.y] : position.map((value) => Math.max(value, 0))));
  }

  // Brush and eraser work on the selected target, or else on the one under them; the brush may begin a new one.
  paint(position) {
    const { page, view, stroke, deeds } = this;
    if (!view.inside(position) || stroke.opened !== page.opened) return;
    const [x, y] = position.map(Math.round);
    const bit = page.tool === "brush" ? 1 : 0;
    stroke.target ??= deeds.chosen() ?? this.targetAt(x, y) ?? (bit ? this.newByHand(x, y) : null);
    if (!stroke.target) return;
    stroke.free ??= deeds.freeFor(stroke.target);
    // A fast stroke reports few positions; the pixels between them belong to it too.
    const passed = between(stroke.last ?? [x, y], [x, y]).flatMap(([px, py]) => disc(px, py, page.brush));
    stroke.mask = withPixels(stroke.mask ?? deeds.maskOf(stroke.target), bit ? passed.filter(stroke.free) : passed, bit);
    stroke.last = [x, y];
    const others = page.state.targets.filter((target) => target.id !== stroke.target.id);
    const all = [...others.map((target) => ({ ...target, mask: deeds.maskOf(target) })), { ...stroke.target, mask: stroke.mask }];
    view.setTargets(all);
  }

  newByHand(x, y) {
    return { id: null, x, y, method: "hand", level: null, confidence: null, doubtful: false,
             patch: { box: [0, 0, 0, 0], runs: [] } };
  }

  closeRegion(bit) {
    const { page, view } = this;
    const points = view.line.map(([x, y]) => [x + 0.5, y + 0.5]);
    view.line = [];
    if (points.length > 2)
      this.deeds.setSky(encode(withRegion(page.state.sky && decode(page.state.sky), view.frame, points, bit)));
    view.draw();
  }

  readOut(position) {
    const inside = this.view.inside(position);
    const [x, y] = position.map(Math.round);
    const value = inside ? this.view.value(position) : 0;
    const { width, height, depth } = this.view.frame;
    const stored = depth > 8 ? value : Math.round(value / 257);
    this.readout.textContent = inside ? `${x}, ${y}  =  ${stored}   ${width}×${height}, ${depth}-bit` : "";
  }

  wheel(event) {
    event.preventDefault();
    if (!this.view.frame) return;
    const amount = event.deltaY || event.deltaX;
    if (event.shiftKey) this.page.state && this.deeds.resize(amount < 0 ? 1 : -1);
    else this.view.zoom(amount < 0 ? 1.2 : 1 / 1.2, this.view.at(event).canvas);
  }
}

function between([x0, y0], [x1, y1]) {
  const steps = Math.max(Math.abs(x1 - x0), Math.abs(y1 - y0), 1);
  return Array.from({ length: steps }, (_, k) =>
    [x0 + ((x1 - x0) * (k + 1)) / steps, y0 + ((y1 - y0) * (k + 1)) / steps].map(Math.round));
}
