// The page: what is open, what a person does, and what the server made of it.

import { Adapting } from "./adapting.js";
import * as api from "./api.js";
import { listenToKeys } from "./keys.js";
import { ImageList } from "./list.js";
import { area, decode, encode, has, resized } from "./masks.js";
import { Mouse } from "./mouse.js";
import { View } from "./view.js";

const $ = (id) => document.getElementById(id);
const view = new View($("view"), $("loupe"));
const list = new ImageList($("images"), { tally: $("tally"), bar: $("bar"), pace: $("pace") }, openImage);
const adaptation = new Adapting(() => page.current && loadRings(page.current, page.opened));
const KEEP_MS = 5000;
const LIST_MS = 4000;
const RETRY_MS = 500;
const LONGEST_PAUSE = 120;
const NOT_READY = 503;
const MOST_CLICKS = 1000;

const page = {
  current: null, state: null, version: 0, tool: "target", method: null, masks: new Map(), since: 0,
  queue: Promise.resolve(), opening: 0, opened: 0, rings: [], dismissed: new Set(), waiting: [], asked: null, brush: 1,
};

// Messages -------------------------------------------------------------------------------------------------

let hiding = 0;
function tell(text, kind = "bad") {
  $("message").textContent = text;
  $("message").className = kind;
  $("message").hidden = !text;
  clearTimeout(hiding);
  if (kind === "good") hiding = setTimeout(() => tell(""), 3000);
}

// One thing at a time, in order: an action never overtakes the one before it.
function inTurn(work) {
  page.queue = page.queue.then(work).catch((error) => tell(error.message));
  return page.queue;
}

// The list of images ---------------------------------------------------------------------------------------

async function refreshList() {
  const { images, methods, formats, name, learning, adapting } = await api.images();
  list.images = images;
  const names = Object.keys(methods);
  if (!page.method) {
    page.method = names[0];
    $("method").replaceChildren(...names.map((method) => new Option(method, method)));
    $("format").replaceChildren(...formats.map((format) => new Option(format)));
    $("name").textContent = name;
    document.title = `${name} – infraspot annotate`;
  }
  names.forEach((method, index) => {
    $("method").options[index].text = `${index + 1} ${method}${methods[method] ? "" : " (being prepared)"}`;
  });
  list.draw();
  showLearning(learning);
  adaptation.show(adapting);
}

function step(by) {
  const next = list.neighbour(by);
  if (next) openImage(next);
}

// Opening an image -----------------------------------------------------------------------------------------

// An image that cannot be opened or read is shown as such, and one can go on from it.
function openImage(image, ready = () => {}) {
  page.opening += 1;
  return inTurn(async () => {
    leaveImage(image);
    try {
      const answer = await api.open(image);
      page.current = image;
      take(answer);
      view.show(await api.pixels(image));
      take(answer);
      showContrast();
      showWaiting();
      loadRings(image, page.opened);
      ready();
    } finally {
      page.opening -= 1;
      $("title").textContent = image;
    }
  });
}

function leaveImage(next) {
  Object.assign(page, { current: null, state: null, asked: null, since: performance.now(), opened: page.opened + 1 });
  page.rings = [];
  page.dismissed.clear();
  page.masks.clear();
  Object.assign(view, { chosen: null, rings: [], line: [], waiting: [] });
  view.clear();
  $("title").textContent = `${next} …`;
  $("looking").textContent = "";
  drawPanel();
  list.current = next;
  list.draw();
  list.reveal();
  tell("");
}

async function loadRings(image, opened) {
  try {
    page.rings = [];
    $("looking").textContent = "looking for targets …";
    const { rings } = await api.proposals(image);
    if (opened !== page.opened) return;
    page.rings = rings;
    showRings();
  } catch (error) {
    if (opened !== page.opened) return;
    if (error.status === NOT_READY) setTimeout(() => opened === page.opened && loadRings(image, opened), 2 * RETRY_MS);
    $("looking").textContent = error.message;
  }
}

// A ring is open until its target is marked; an undo opens it again.
function showRings() {
  const marked = (ring) => page.state.targets.some((target) =>
    has(maskOf(target), ...near(ring)) || Math.hypot(target.x - ring.x, target.y - ring.y) < 0.5);
  view.rings = page.rings.filter((ring) => !page.dismissed.has(ring) && !marked(ring));
  const left = view.rings.length;
  $("looking").textContent = left ? `${left} proposal${left === 1 ? "" : "s"} left (A accepts all)` : "no proposals left";
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

function take({ state, version, learning }) {
  Object.assign(page, { state, version });
  if (!state.targets.some((target) => target.id === view.chosen)) view.chosen = null;
  view.setTargets(state.targets.map((target) => ({ ...target, mask: maskOf(target) })));
  view.setSky(state.sky && decode(state.sky));
  if (page.rings.length) showRings();
  showLearning(learning);
  drawPanel();
  view.draw();
}

// Learning --------------------------------------------------------------------------------------------------

function showLearning({ on, fixed, targets, level, auto }) {
  Object.assign($("learning"), { checked: on && !fixed, disabled: fixed });
  $("learned").textContent = fixed ? "Masks have the level that was asked for by --level." : learned(on, targets, level, auto);
}

// Levels lie between 0, the background, and 1, the peak: a higher one gives a tighter mask.
function learned(on, targets, level, auto) {
  if (!targets) return "Grow or shrink masks, and the next ones of “profile” follow.";
  const from = `${targets} corrected target${targets === 1 ? "" : "s"}`;
  if (!on) return `${from}, not used: masks are as before.`;
  if (!level) return `Learned from ${from} of --level.`;
  const change = level < auto * 0.97 ? "wider" : level > auto * 1.03 ? "tighter" : "about as before";
  return `${from}: next masks ${change} (level ${level.toFixed(2)}, before ${auto.toFixed(2)}).`;
}

const switchLearning = (on = !$("learning").checked) =>
  $("learning").disabled || inTurn(async () => showLearning(await api.learn(on)));

// Acting ---------------------------------------------------------------------------------------------------

function act(action) {
  return inTurn(() => send(action));
}

async function send(action) {
  if (!page.current) return;
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
  list.update(page.current, { status, targets: targets.length, doubtful }, seconds);
}

const freeId = () => 1 + Math.max(0, ...page.state.targets.map((target) => target.id));
const chosen = () => page.state.targets.find((target) => target.id === view.chosen);
const put = (target) => act({ kind: "put", target });

function mark(x, y, options = {}) {
  const click = { x, y, level: null, method: page.method, grow: 0, ...options };
  return inTurn(() => markNow(page.current, click));
}

// A click whose method is still being compiled stays on the image and is taken when the method is ready.
async function markNow(image, click) {
  if (image !== page.current) return;
  try {
    const target = await api.click(image, { ...click, id: click.id ?? freeId() });
    await send({ kind: "put", target });
    choose(target.id);
    if ($("message").className === "wait") tell("");
  } catch (error) {
    if (error.status !== NOT_READY) throw error;
    page.waiting.push({ image, click });
    tell(error.message, "wait");
  }
  showWaiting();
}

const waitingHere = () => page.waiting.filter(({ image }) => image === page.current);

function showWaiting() {
  view.waiting = waitingHere().map(({ click }) => click);
  view.draw();
}

function retryWaiting() {
  const [first] = waitingHere();
  if (!first || !view.frame || page.retrying) return;
  page.retrying = true;
  inTurn(() => {
    page.waiting = page.waiting.filter((other) => other !== first);
    return markNow(first.image, first.click);
  }).then(() => { page.retrying = false; });
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
  const ring = view.cursor && mouse.ringAt(view.cursor);
  if (ring) {
    page.dismissed.add(ring);
    showRings();
  } else if (chosen()) act({ kind: "drop", id: view.chosen });
}

function doubt() {
  const target = chosen();
  if (target) put({ ...target, doubtful: !target.doubtful });
}

function setStatus(status) {
  if (!view.frame && status !== "rejected")
    return tell("This image cannot be read, so that nobody can say what is in it. R rejects it, → goes on.");
  return act({ kind: "status", status: page.state.status === status ? "open" : status });
}

// Work is not thrown away by one key: with targets in the image the key has to come twice.
function noTarget() {
  const { status, targets } = page.state;
  if (status !== "empty" && targets.length && page.asked !== page.version) {
    page.asked = page.version;
    const those = targets.length === 1 ? "a target" : `${targets.length} targets`;
    return tell(`This image has ${those}. N again takes away what is marked; any other key keeps it.`, "wait");
  }
  tell("");
  return setStatus("empty");
}

const setSky = (patch) => act({ kind: "sky", patch });
const wholeFrame = (bit) =>
  setSky(encode({ x0: 0, y0: 0, width: view.frame.width, height: view.frame.height,
                  bits: new Uint8Array(view.frame.width * view.frame.height).fill(bit) }));

async function finish() {
  if (!view.frame) return step(1);
  if (waitingHere().length) return tell("A click here still waits for its method; it is taken in a moment.", "wait");
  if (page.state.status !== "done") await setStatus("done");
  return step(1);
}

function acceptAll() {
  return inTurn(async () => {
    const places = view.rings.slice(0, MOST_CLICKS).map(({ x, y }) => ({ x, y }));
    if (!places.length) return;
    const { targets } = await api.clicks(page.current, { id: freeId(), method: page.method, places });
    if (targets.length) await send({ kind: "batch", actions: targets.map((target) => ({ kind: "put", target })) });
  });
}

function nextDoubtful() {
  const doubtful = (after) => {
    const start = page.state.targets.findIndex((target) => target.id === after) + 1;
    return page.state.targets.slice(start).find((target) => target.doubtful);
  };
  const here = page.state && doubtful(view.chosen);
  if (here) return choose(here.id, true);
  const image = list.nextDoubtful();
  if (!image) return tell("No target and no image is marked as doubtful.", "good");
  const showFirst = () => doubtful(null) && choose(doubtful(null).id, true);
  return image === page.current ? showFirst() : openImage(image, showFirst);
}

// The panel ------------------------------------------------------------------------------------------------

function drawPanel() {
  const { targets = [], status, can_undo, can_redo } = page.state ?? {};
  $("undo").disabled = !can_undo;
  $("redo").disabled = !can_redo;
  for (const button of $("statuses").children) button.ariaPressed = button.dataset.status === status;
  for (const button of $("tools").children) button.ariaPressed = button.dataset.tool === page.tool;
  $("sky-row").hidden = page.tool !== "sky";
  $("brush-row").hidden = !["brush", "eraser"].includes(page.tool);
  $("count").textContent = targets.length || "";
  $("targets").replaceChildren(...targets.map((target) => {
    const row = document.createElement("tr");
    const level = target.level === null ? "" : target.level.toFixed(2);
    const cells = [target.id, `${target.x.toFixed(0)}, ${target.y.toFixed(0)}`, `${area(maskOf(target))} px`, level];
    row.append(...cells.map((text) => Object.assign(document.createElement("td"), { textContent: text })));
    row.ariaSelected = target.id === view.chosen;
    row.classList.toggle("doubtful", target.doubtful);
    row.onclick = () => choose(target.id, true);
    return row;
  }));
}

function choose(id, reveal = false) {
  view.chosen = id;
  if (reveal) view.reveal(maskOf(chosen()));
  drawPanel();
  view.draw();
}

function showContrast() {
  $("level").value = view.level;
  $("window").value = view.window;
}

function useTool(tool) {
  page.tool = tool;
  view.brush = ["brush", "eraser"].includes(tool) ? page.brush : 0;
  drawPanel();
  view.draw();
}

function useBrush(size) {
  page.brush = Math.min(Math.max(size, Number($("brush").min)), Number($("brush").max));
  $("brush").value = page.brush;
  $("brush-size").textContent = `${page.brush} px`;
  useTool(["brush", "eraser"].includes(page.tool) ? page.tool : "brush");
}

const mouse = new Mouse(view, page, { act, choose, chosen, freeId, mark, maskOf, put, resize, setSky }, $("readout"));

// Beginning ------------------------------------------------------------------------------------------------

// Keys of "anywhere" work also where no image is open or the open one cannot be read.
const KEYS = {
  anywhere: {
    l: () => switchLearning(),
    ArrowLeft: () => step(-1), ArrowRight: () => step(1), Enter: finish, j: nextDoubtful,
    t: () => useTool("target"), b: () => useTool("brush"), e: () => useTool("eraser"), s: () => useTool("sky"),
    "-": () => useBrush(page.brush - 2), "+": () => useBrush(page.brush + 2), "=": () => useBrush(page.brush + 2),
    "?": () => $("help").showModal(),
  },
  opened: {
    z: () => act({ kind: "undo" }), "shift+z": () => act({ kind: "redo" }),
    "ctrl+z": () => act({ kind: "undo" }), "ctrl+shift+z": () => act({ kind: "redo" }), "ctrl+y": () => act({ kind: "redo" }),
    n: noTarget, q: () => setStatus("doubtful"), r: () => setStatus("rejected"),
  },
  readable: {
    "[": () => resize(-1), "]": () => resize(1), x: drop, Delete: drop, Backspace: drop, d: doubt, a: acceptAll,
    f: () => view.fit(), c: () => { view.autoContrast(); showContrast(); },
    p: () => { view.showRings = !view.showRings; view.draw(); },
    Escape: () => { tell(""); choose(null); },
  },
};

// A key that comes while an image opens is meant for that image.
function keyWork(name) {
  if (page.opening) return () => inTurn(() => void keyWork(name)?.());
  if (name !== "n") page.asked = null;
  const method = $("method").options[Number(name) - 1]?.value;
  if (method && page.state && view.frame) return () => useMethod(method);
  return KEYS.anywhere[name] ?? (page.state && KEYS.opened[name]) ?? (page.state && view.frame && KEYS.readable[name]);
}

function listen() {
  mouse.listen();
  listenToKeys(keyWork, $("help"));
  addEventListener("pagehide", () => page.current && api.close(page.current));
  // A slider or a list that was used keeps no keys from the page.
  addEventListener("change", (event) => event.target.blur());
  $("order").onchange = (event) => { list.order = event.target.value; list.draw(); };
  $("method").onchange = (event) => useMethod(event.target.value);
  $("learning").onchange = (event) => switchLearning(event.target.checked);
  $("brush").oninput = (event) => useBrush(Number(event.target.value));
  for (const button of $("statuses").children)
    button.onclick = () => page.state && (button.dataset.status === "empty" ? noTarget() : setStatus(button.dataset.status));
  for (const button of $("tools").children) button.onclick = () => useTool(button.dataset.tool);
  const contrast = () => view.frame && view.setContrast(Number($("level").value), Number($("window").value));
  $("level").oninput = contrast;
  $("window").oninput = contrast;
  $("adapt").onclick = () => inTurn(() => adaptation.toggle());
  $("export").onclick = () => inTurn(async () => tell((await api.exportAs($("format").value)).message, "good"));
  $("sky-all").onclick = () => view.frame && wholeFrame(1);
  $("sky-none").onclick = () => view.frame && wholeFrame(0);
  $("sky-clear").onclick = () => setSky(null);
  const buttons = { undo: "z", redo: "shift+z", previous: "ArrowLeft", next: "ArrowRight", shrink: "[", grow: "]",
                    doubt: "d", drop: "x", contrast: "c", fit: "f", rings: "p", accept: "a", "next-doubtful": "j",
                    "help-open": "?" };
  for (const [id, name] of Object.entries(buttons)) $(id).onclick = () => keyWork(name)?.();
  setInterval(() => page.current && api.keep(page.current).catch(() => {}), KEEP_MS);
  setInterval(() => refreshList().catch(() => {}), LIST_MS);
  setInterval(retryWaiting, RETRY_MS);
}

listen();
inTurn(async () => {
  await refreshList();
  const first = list.firstOpen();
  if (first) openImage(first);
});
