// The page: what is open, what a person does, and what the server made of it.

import * as api from "./api.js";
import { area, decode, encode, has, resized, withPixel, withRegion } from "./masks.js";
import { ImageList } from "./list.js";
import { View } from "./view.js";

const $ = (id) => document.getElementById(id);
const view = new View($("view"), $("loupe"));
const list = new ImageList($("images"), $("tally"), openImage);
const KEEP_MS = 5000;
const LIST_MS = 4000;
const LONGEST_PAUSE = 120;

const page = {
  current: null, state: null, version: 0, tool: "target", method: null, masks: new Map(), stroke: null, since: 0,
  queue: Promise.resolve(), opened: 0,
};

// Messages -------------------------------------------------------------------------------------------------

let hiding = 0;
function tell(text, good = false) {
  $("message").textContent = text;
  $("message").classList.toggle("good", good);
  $("message").hidden = !text;
  clearTimeout(hiding);
  if (good) hiding = setTimeout(() => tell(""), 3000);
}

// One thing at a time, in order: an action never overtakes the one before it.
function inTurn(work) {
  page.queue = page.queue.then(work).catch((error) => tell(error.message));
  return page.queue;
}

// The list of images ---------------------------------------------------------------------------------------

async function refreshList() {
  const { images, methods, formats, name } = await api.images();
  list.images = images;
  if (!page.method) {
    page.method = methods[0];
    $("method").replaceChildren(...methods.map((method, index) => new Option(`${index + 1} ${method}`, method)));
    $("format").replaceChildren(...formats.map((format) => new Option(format)));
    $("name").textContent = name;
    document.title = `${name} – infraspot annotate`;
  }
  list.draw();
}

function step(by) {
  const next = list.neighbour(by);
  if (next) openImage(next);
}

// Opening an image -----------------------------------------------------------------------------------------

function openImage(image) {
  return inTurn(async () => {
    const answer = await api.open(image);
    const frame = await api.pixels(image);
    Object.assign(page, { current: image, since: performance.now(), opened: page.opened + 1 });
    Object.assign(view, { chosen: null, rings: [], line: [] });
    page.masks.clear();
    view.show(frame);
    take(answer);
    $("title").textContent = image;
    tell("");
    showContrast();
    list.current = image;
    list.draw();
    list.reveal();
    loadRings(image, page.opened);
  });
}

async function loadRings(image, opened) {
  const { rings } = await api.proposals(image).catch(() => ({ rings: [] }));
  if (opened !== page.opened) return;
  view.rings = rings.filter((ring) => !page.state.targets.some((target) => has(maskOf(target), ...near(ring))));
  view.draw();
}

const near = ({ x, y }) => [Math.round(x), Math.round(y)];

function maskOf(target) {
  const known = page.masks.get(target.id);
  if (known?.patch === target.patch) return known.mask;
  const mask = decode(target.patch);
  page.masks.set(target.id, { patch: target.patch, mask });
  return mask;
}

function take({ state, version }) {
  Object.assign(page, { state, version });
  if (!state.targets.some((target) => target.id === view.chosen)) view.chosen = null;
  view.setTargets(state.targets.map((target) => ({ ...target, mask: maskOf(target) })));
  view.setSky(state.sky && decode(state.sky));
  drawPanel();
  view.draw();
}

// Acting ---------------------------------------------------------------------------------------------------

function act(action) {
  return inTurn(() => send(action));
}

async function send(action) {
  const seconds = Math.min((performance.now() - page.since) / 1000, LONGEST_PAUSE);
  try {
    take(await api.act(page.current, page.version, action, seconds));
  } catch (error) {
    if (error.status !== 409) throw error;
    // The lease ran out or the server was started again; go on if nobody changed the image meanwhile.
    const answer = await api.open(page.current);
    if (answer.version !== page.version) {
      take(answer);
      throw error;
    }
    take(await api.act(page.current, page.version, action, seconds));
  }
  page.since = performance.now();
  const { status, targets } = page.state;
  const doubtful = targets.filter((target) => target.doubtful).length;
  list.update(page.current, { status, targets: targets.length, doubtful });
}

const freeId = () => 1 + Math.max(0, ...page.state.targets.map((target) => target.id));
const chosen = () => page.state.targets.find((target) => target.id === view.chosen);
const put = (target) => act({ kind: "put", target });

function mark(x, y, { id, level = null, method = page.method, grow = 0 } = {}) {
  return inTurn(async () => {
    const target = await api.click(page.current, { id: id ?? freeId(), x, y, method, level, grow });
    await send({ kind: "put", target });
    view.chosen = target.id;
    drawPanel();
    view.draw();
  });
}

function resize(direction) {
  const target = chosen();
  if (!target) return;
  if (target.level !== null) {
    const { id, level, method } = target;
    mark(target.x, target.y, { id, level, method, grow: direction });
  } else put({ ...target, patch: encode(resized(maskOf(target), view.frame, direction)) });
}

function useMethod(method) {
  page.method = method;
  $("method").value = method;
  const target = chosen();
  if (target) mark(target.x, target.y, { id: target.id });
}

function drop() {
  const ring = view.cursor && ringAt(view.cursor);
  if (ring) {
    view.rings = view.rings.filter((other) => other !== ring);
    view.draw();
  } else if (chosen()) act({ kind: "drop", id: view.chosen });
}

function doubt() {
  const target = chosen();
  if (target) put({ ...target, doubtful: !target.doubtful });
}

const setStatus = (status) => act({ kind: "status", status: page.state.status === status ? "open" : status });
const setSky = (patch) => act({ kind: "sky", patch });
const wholeFrame = (bit) =>
  setSky(encode({ x0: 0, y0: 0, width: view.frame.width, height: view.frame.height,
                  bits: new Uint8Array(view.frame.width * view.frame.height).fill(bit) }));

async function finish() {
  if (page.state.status !== "done") await setStatus("done");
  step(1);
}

async function acceptAll() {
  for (const ring of view.rings) await mark(ring.x, ring.y);
  view.rings = [];
  view.draw();
}

// The panel ------------------------------------------------------------------------------------------------

function drawPanel() {
  const { targets, status, can_undo, can_redo } = page.state;
  $("undo").disabled = !can_undo;
  $("redo").disabled = !can_redo;
  for (const button of $("statuses").children) button.ariaPressed = button.dataset.status === status;
  for (const button of $("tools").children) button.ariaPressed = button.dataset.tool === page.tool;
  $("sky-row").hidden = page.tool !== "sky";
  $("count").textContent = targets.length || "";
  $("targets").replaceChildren(...targets.map((target) => {
    const row = document.createElement("tr");
    const level = target.level === null ? "" : target.level.toFixed(2);
    const cells = [target.id, `${target.x.toFixed(0)}, ${target.y.toFixed(0)}`, `${area(maskOf(target))} px`, level];
    row.append(...cells.map((text) => Object.assign(document.createElement("td"), { textContent: text })));
    row.ariaSelected = target.id === view.chosen;
    row.classList.toggle("doubtful", target.doubtful);
    row.onclick = () => choose(target.id);
    return row;
  }));
}

function choose(id) {
  view.chosen = id;
  drawPanel();
  view.draw();
}

function showContrast() {
  $("level").value = view.level;
  $("window").value = view.window;
}

function useTool(tool) {
  page.tool = tool;
  drawPanel();
}

// The mouse ------------------------------------------------------------------------------------------------

const targetAt = (x, y) => page.state?.targets.find((target) => has(maskOf(target), Math.round(x), Math.round(y)));
const ringAt = ([x, y]) => view.showRings && view.rings.find((ring) => Math.hypot(ring.x - x, ring.y - y) <= ring.radius);

function press(event) {
  if (!view.frame || !page.state) return;
  view.canvas.setPointerCapture(event.pointerId);
  const { canvas, frame } = view.at(event);
  const panning = event.button === 1 || page.tool === "target";
  page.stroke = { canvas, moved: false, panning, start: frame, mask: null };
  if (!panning && page.tool === "sky") view.line = [frame];
  if (!panning && page.tool !== "sky") paint(frame);
}

function move(event) {
  const { canvas, frame } = view.at(event);
  view.cursor = frame;
  const stroke = page.stroke;
  if (stroke?.panning) {
    const [dx, dy] = [canvas[0] - stroke.canvas[0], canvas[1] - stroke.canvas[1]];
    if (stroke.moved || Math.hypot(dx, dy) > 4) {
      Object.assign(stroke, { moved: true, canvas });
      view.pan(dx, dy);
    }
  } else if (stroke && page.tool === "sky") view.line.push(frame);
  else if (stroke) paint(frame);
  readOut(frame);
  view.draw();
}

function release(event) {
  const stroke = page.stroke;
  page.stroke = null;
  if (!stroke) return;
  if (stroke.panning) {
    if (!stroke.moved && event.button === 0) clickAt(stroke.start);
  } else if (page.tool === "sky") closeRegion(event.altKey ? 0 : 1);
  else if (stroke.mask) finishStroke(stroke);
}

function clickAt(position) {
  if (!view.inside(position)) return;
  const ring = ringAt(position);
  const target = targetAt(...position);
  if (target) choose(target.id);
  else {
    view.rings = view.rings.filter((other) => other !== ring);
    mark(...(ring ? [ring.x, ring.y] : position.map((value) => Math.max(value, 0))));
  }
}

// Brush and eraser work on the selected target; the brush begins a new one where none is selected.
function paint(position) {
  if (!view.inside(position)) return;
  const [x, y] = position.map(Math.round);
  const bit = page.tool === "brush" ? 1 : 0;
  const stroke = page.stroke;
  stroke.target ??= chosen() ?? (bit ? newByHand(x, y) : targetAt(x, y));
  if (!stroke.target) return;
  stroke.mask ??= maskOf(stroke.target);
  // A fast stroke reports few positions; the pixels between them belong to it too.
  for (const [px, py] of between(stroke.last ?? [x, y], [x, y])) stroke.mask = withPixel(stroke.mask, px, py, bit);
  stroke.last = [x, y];
  const others = page.state.targets.filter((target) => target.id !== stroke.target.id);
  const all = [...others.map((target) => ({ ...target, mask: maskOf(target) })), { ...stroke.target, mask: stroke.mask }];
  view.setTargets(all);
}

function between([x0, y0], [x1, y1]) {
  const steps = Math.max(Math.abs(x1 - x0), Math.abs(y1 - y0), 1);
  return Array.from({ length: steps }, (_, k) =>
    [x0 + ((x1 - x0) * (k + 1)) / steps, y0 + ((y1 - y0) * (k + 1)) / steps].map(Math.round));
}

const newByHand = (x, y) => ({
  id: freeId(), x, y, method: "hand", level: null, confidence: null, doubtful: false, patch: { box: [0, 0, 0, 0], runs: [] },
});

async function finishStroke({ target, mask }) {
  if (!mask.bits.length) return act({ kind: "drop", id: target.id });
  await put({ ...target, method: "hand", level: null, patch: encode(mask) });
  return choose(target.id);
}

function closeRegion(bit) {
  const points = view.line.map(([x, y]) => [x + 0.5, y + 0.5]);
  view.line = [];
  if (points.length > 2)
    setSky(encode(withRegion(page.state.sky && decode(page.state.sky), view.frame, points, bit)));
  view.draw();
}

function readOut(position) {
  const inside = view.inside(position);
  const [x, y] = position.map(Math.round);
  const value = inside ? view.value(position) : 0;
  const { width, height, depth } = view.frame ?? {};
  const stored = depth > 8 ? value : Math.round(value / 257);
  $("readout").textContent = inside ? `${x}, ${y}  =  ${stored}   ${width}×${height}, ${depth}-bit` : "";
}

function wheel(event) {
  event.preventDefault();
  const amount = event.deltaY || event.deltaX;
  if (event.shiftKey) resize(amount < 0 ? 1 : -1);
  else view.zoom(amount < 0 ? 1.2 : 1 / 1.2, view.at(event).canvas);
}

// The keys -------------------------------------------------------------------------------------------------

const KEYS = {
  t: () => useTool("target"), b: () => useTool("brush"), e: () => useTool("eraser"), s: () => useTool("sky"),
  "[": () => resize(-1), "]": () => resize(1), x: drop, d: doubt, a: acceptAll,
  z: () => act({ kind: "undo" }), Z: () => act({ kind: "redo" }),
  n: () => setStatus("empty"), q: () => setStatus("doubtful"), r: () => setStatus("rejected"), Enter: finish,
  ArrowLeft: () => step(-1), ArrowRight: () => step(1), f: () => view.fit(),
  c: () => { view.autoContrast(); showContrast(); },
  p: () => { view.showRings = !view.showRings; view.draw(); },
  "?": () => $("help").showModal(),
};

function key(event) {
  if (event.target.matches?.("select, input") || $("help").open || event.ctrlKey || event.metaKey || event.altKey) return;
  const digit = Number(event.key);
  const method = digit && $("method").options[digit - 1]?.value;
  const work = method ? () => useMethod(method) : KEYS[event.key];
  if (!work || !page.state) return;
  event.preventDefault();
  work();
}

// Beginning ------------------------------------------------------------------------------------------------

function listen() {
  const canvas = view.canvas;
  canvas.onpointerdown = press;
  canvas.onpointermove = move;
  canvas.onpointerup = release;
  canvas.addEventListener("wheel", wheel, { passive: false });
  addEventListener("keydown", key);
  addEventListener("pagehide", () => page.current && api.close(page.current));
  $("order").onchange = (event) => { list.order = event.target.value; list.draw(); };
  $("method").onchange = (event) => useMethod(event.target.value);
  for (const button of $("statuses").children) button.onclick = () => setStatus(button.dataset.status);
  for (const button of $("tools").children) button.onclick = () => useTool(button.dataset.tool);
  const contrast = () => view.setContrast(Number($("level").value), Number($("window").value));
  $("level").oninput = contrast;
  $("window").oninput = contrast;
  $("export").onclick = () => inTurn(async () => tell((await api.exportAs($("format").value)).message, true));
  $("sky-all").onclick = () => wholeFrame(1);
  $("sky-none").onclick = () => wholeFrame(0);
  $("sky-clear").onclick = () => setSky(null);
  const buttons = { undo: "z", redo: "Z", previous: "ArrowLeft", next: "ArrowRight", shrink: "[", grow: "]", doubt: "d",
                    drop: "x", contrast: "c", fit: "f", rings: "p", "help-open": "?" };
  for (const [id, name] of Object.entries(buttons)) $(id).onclick = () => KEYS[name]();
  setInterval(() => page.current && api.keep(page.current).catch(() => {}), KEEP_MS);
  setInterval(() => refreshList().catch(() => {}), LIST_MS);
}

listen();
inTurn(async () => {
  await refreshList();
  const first = list.firstOpen();
  if (first) openImage(first);
});
