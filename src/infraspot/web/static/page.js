// The page: what is open, what a person does, and what the server made of it.

import { Adapting } from "./adapting.js";
import * as api from "./api.js";
import { listenToKeys } from "./keys.js";
import { Learning } from "./learning.js";
import { ImageList } from "./list.js";
import { decode, encode, has, resized } from "./masks.js";
import { Mouse } from "./mouse.js";
import { drawPanel } from "./panel.js";
import { View } from "./view.js";

const $ = (id) => document.getElementById(id);
const view = new View($("view"), $("loupe"));
const list = new ImageList($("images"), { tally: $("tally"), bar: $("bar"), pace: $("pace") }, openImage);
const adaptation = new Adapting(() => page.current && loadRings(page.current, page.opened));
const learning = new Learning();
const KEEP_MS = 5000;
const LIST_MS = 4000;
const RETRY_MS = 500;
const LONGEST_PAUSE = 120;
const NOT_READY = 503;
const MOST_CLICKS = 1000;
const LAST = "image"; // what this tab had open, for a reload

const page = {
  current: null, state: null, version: 0, tool: "target", method: null, masks: new Map(), since: 0, cut: false,
  queue: Promise.resolve(), opening: 0, opened: 0, rings: [], dismissed: new Set(), waiting: [], asked: null, brush: 1,
};

// Messages -------------------------------------------------------------------------------------------------

let hiding = 0;
function tell(text, kind = "bad") {
  $("message").textContent = text;
  $("message").className = kind;
  $("message").hidden = !text;
  clearTimeout(hiding);
  if (["good", "hint"].includes(kind)) hiding = setTimeout(() => tell(""), 3000);
}

// One thing at a time, in order: an action never overtakes the one before it, and sees what that one made.
function inTurn(work) {
  page.queue = page.queue.then(work).catch((error) => tell(error.message));
  return page.queue;
}

const onImage = (work) => inTurn(() => page.state && work());

function onChosen(work) {
  return onImage(() => {
    const target = chosen();
    return target ? work(target) : tell("No target is selected: click on its mask, or on its row.", "hint");
  });
}

// The list of images ---------------------------------------------------------------------------------------

async function refreshList() {
  const { images, methods, formats, name, learning: learned, adapting } = await api.images();
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
  learning.show(learned);
  adaptation.show(adapting);
}

// A server that ended, or was started anew, is told before a person works on.
async function watchServer() {
  try {
    await refreshList();
    if (page.cut) tell("");
    page.cut = false;
  } catch (error) {
    page.cut = true;
    tell(error.message);
  }
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
      sessionStorage.setItem(LAST, image);
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
  $("looking").textContent = $("readout").textContent = "";
  draw();
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
  const none = page.rings.length ? "no proposals left" : "no proposals: the model sees no target here";
  $("looking").textContent = left ? `${left} proposal${left === 1 ? "" : "s"} left (A accepts all)` : none;
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

function take({ state, version, learning: learned }) {
  Object.assign(page, { state, version });
  if (!state.targets.some((target) => target.id === view.chosen)) view.chosen = null;
  showTargets();
  view.setSky(state.sky && decode(state.sky));
  if (page.rings.length) showRings();
  learning.show(learned);
  draw();
}

function showTargets() {
  view.setTargets(page.state.targets.map((target) => ({ ...target, mask: maskOf(target) })));
  view.draw();
}

// Acting ---------------------------------------------------------------------------------------------------

const act = (action) => onImage(() => send(action));

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
  list.update(page.current, { status, targets: targets.length, doubtful }, seconds);
}

const freeId = () => 1 + Math.max(0, ...page.state.targets.map((target) => target.id));
const chosen = () => page.state?.targets.find((target) => target.id === view.chosen);
// Whether a target may take a pixel: it lies in the frame, and no other target has it.
const freeFor = ({ id }) => {
  const others = page.state.targets.filter((target) => target.id !== id).map(maskOf);
  return ([x, y]) => view.inside([x, y]) && !others.some((mask) => has(mask, x, y));
};
const put = (target) => send({ kind: "put", target });

// A click at (x, y); ``options`` say more about it, as ClickRequest of the server does.
function mark(x, y, options = {}) {
  const click = { x, y, level: null, method: page.method, grow: 0, ...options };
  return onImage(() => markNow(click));
}

function markNow(click) {
  const image = page.current;
  return whenReady([click], async () => {
    const target = await api.click(image, { ...click, id: click.id ?? freeId() });
    if (click.id) return putChanged(target);
    await put(target);
    return choose(target.id);
  });
}

// A mask that stays as it is costs no step of undo.
function putChanged(target) {
  const mask = ({ id, patch }) => JSON.stringify([id, patch]);
  if (!page.state.targets.some((other) => mask(other) === mask(target))) return put(target);
  return tell("The mask stays as it is; the brush changes it pixel by pixel.", "hint");
}

// Clicks whose method is still being compiled stay on the image and are taken, in their order, when it is ready.
async function whenReady(places, work) {
  try {
    if (!waitingHere().length) return await work();
  } catch (error) {
    if (error.status !== NOT_READY) throw error;
    tell(error.message, "wait");
  }
  page.waiting.push({ image: page.current, places, work, since: performance.now() });
  return showWaiting();
}

const waitingHere = () => page.waiting.filter(({ image }) => image === page.current);

function showWaiting() {
  view.waiting = waitingHere().flatMap(({ places }) => places);
  view.draw();
}

async function retryWaiting() {
  if (page.retrying || !waitingHere().length) return;
  page.retrying = true;
  await onImage(async () => { while (view.frame && waitingHere().length && (await isTaken(waitingHere()[0]))); });
  page.retrying = false;
}

// Whether a click that waited need not wait any more: it was taken, or cannot be.
async function isTaken(click) {
  const now = performance.now();
  page.since = Math.min(now, page.since + now - click.since); // to wait is no work on a target
  click.since = now;
  try {
    await click.work();
  } catch (error) {
    if (error.status === NOT_READY) return false;
    tell(error.message);
  }
  page.waiting = page.waiting.filter((other) => other !== click);
  if (!waitingHere().length && $("message").className === "wait") tell("");
  showWaiting();
  return true;
}

const resize = (direction) => onChosen((target) => {
  const { id, x, y, level, method } = target;
  if (level !== null) return markNow({ id, x, y, level, method, grow: direction });
  return putChanged({ ...target, patch: encode(resized(maskOf(target), direction, freeFor(target))) });
});

function useMethod(method) {
  page.method = method;
  $("method").value = method;
  return onImage(() => {
    const target = chosen();
    return target && markNow({ id: target.id, x: target.x, y: target.y, level: null, method, grow: 0 });
  });
}

function drop() {
  const ring = view.cursor && mouse.ringAt(view.cursor);
  if (!ring) return onChosen((target) => send({ kind: "drop", id: target.id }));
  page.dismissed.add(ring);
  return showRings();
}

const doubt = () => onChosen((target) => put({ ...target, doubtful: !target.doubtful }));

// A stroke of brush or eraser made ``mask`` of a target, or of a new one, which has no id yet.
const finishStroke = (target, mask) => onImage(async () => {
  if (!mask.bits.length) return target.id && send({ kind: "drop", id: target.id });
  const id = target.id ?? freeId();
  try {
    await put({ ...target, id, method: "hand", level: null, lesson: null, patch: encode(mask) });
    choose(id);
  } finally {
    showTargets(); // a stroke that could not be saved is not shown
  }
});

function setStatus(status) {
  if (!view.frame && status !== "rejected")
    return tell("This image cannot be read, so that nobody can say what is in it. R rejects it, → goes on.");
  return send({ kind: "status", status: page.state.status === status ? "open" : status });
}

// Work is not thrown away by one key: with targets in the image the key has to come twice.
const noTarget = () => onImage(() => {
  const { status, targets } = page.state;
  if (status !== "empty" && targets.length && page.asked !== page.version) {
    page.asked = page.version;
    const those = targets.length === 1 ? "a target" : `${targets.length} targets`;
    return tell(`This image has ${those}. N again takes away what is marked; any other key keeps it.`, "wait");
  }
  tell("");
  return setStatus("empty");
});

const setSky = (patch) => act({ kind: "sky", patch });
const wholeFrame = (bit) =>
  setSky(encode({ x0: 0, y0: 0, width: view.frame.width, height: view.frame.height,
                  bits: new Uint8Array(view.frame.width * view.frame.height).fill(bit) }));

const finish = () => inTurn(async () => {
  if (page.state && view.frame) {
    if (waitingHere().length) return tell("A click here still waits for its method; it is taken in a moment.", "wait");
    if (page.state.status !== "done") await send({ kind: "status", status: "done" });
  }
  return step(1);
});

const acceptAll = () => onImage(() => {
  const image = page.current;
  const places = view.rings.slice(0, MOST_CLICKS).map(({ x, y }) => ({ x, y }));
  if (!places.length) return tell("There is no proposal to accept.", "hint");
  return whenReady(places, async () => {
    const { targets } = await api.clicks(image, { id: freeId(), method: page.method, places });
    if (targets.length) await send({ kind: "batch", actions: targets.map((target) => ({ kind: "put", target })) });
  });
});

const nextDoubtful = () => inTurn(() => {
  const doubtful = (after) => {
    const start = page.state.targets.findIndex((target) => target.id === after) + 1;
    return page.state.targets.slice(start).find((target) => target.doubtful);
  };
  const here = page.state && doubtful(view.chosen);
  if (here) return choose(here.id, true);
  const image = list.nextDoubtful();
  if (!image) return tell("No target and no image is marked as doubtful.", "good");
  const showFirst = () => doubtful(null) && choose(doubtful(null).id, true);
  return image === page.current ? showFirst() : void openImage(image, showFirst);
});

// The panel ------------------------------------------------------------------------------------------------

const pick = (id, reveal = false) => inTurn(() => choose(id, reveal));
const draw = () => drawPanel(page, view.chosen, maskOf, (id) => pick(id, true));

function choose(id, reveal = false) {
  view.chosen = id;
  if (reveal && chosen()) view.reveal(maskOf(chosen()));
  draw();
  view.draw();
}

function showContrast() {
  $("level").value = view.level;
  $("window").value = view.window;
}

function useTool(tool) {
  page.tool = tool;
  view.brush = ["brush", "eraser"].includes(tool) ? page.brush : 0;
  draw();
  view.draw();
}

function useBrush(size) {
  page.brush = Math.min(Math.max(size, Number($("brush").min)), Number($("brush").max));
  $("brush").value = page.brush;
  $("brush-size").textContent = `${page.brush} px`;
  useTool(["brush", "eraser"].includes(page.tool) ? page.tool : "brush");
}

const mouse = new Mouse(view, page, { chosen, finishStroke, freeFor, mark, maskOf, pick, resize, setSky, showTargets }, $("readout"));

// Beginning ------------------------------------------------------------------------------------------------

// Keys of "anywhere" work also where no image is open or the open one cannot be read.
const KEYS = {
  anywhere: {
    l: () => inTurn(() => learning.toggle()),
    ArrowLeft: () => step(-1), ArrowRight: () => step(1), Enter: finish, j: nextDoubtful,
    t: () => useTool("target"), b: () => useTool("brush"), e: () => useTool("eraser"), s: () => useTool("sky"),
    "-": () => useBrush(page.brush - 2), "+": () => useBrush(page.brush + 2), "=": () => useBrush(page.brush + 2),
    "?": () => $("help").showModal(),
  },
  opened: {
    z: () => act({ kind: "undo" }), "shift+z": () => act({ kind: "redo" }),
    "ctrl+z": () => act({ kind: "undo" }), "ctrl+shift+z": () => act({ kind: "redo" }), "ctrl+y": () => act({ kind: "redo" }),
    n: noTarget, q: () => onImage(() => setStatus("doubtful")), r: () => onImage(() => setStatus("rejected")),
  },
  readable: {
    "[": () => resize(-1), "]": () => resize(1), x: drop, Delete: drop, Backspace: drop, d: doubt, a: acceptAll,
    f: () => view.fit(), c: () => { view.autoContrast(); showContrast(); },
    p: () => { view.showRings = !view.showRings; view.draw(); },
    Escape: () => { tell(""); choose(null); },
  },
};

// A key that comes while an image opens is meant for that image; but nobody has seen yet what is in it.
const JUDGEMENTS = ["Enter", "n", "q", "r", "a"];

function keyWork(name) {
  if (page.opening) return JUDGEMENTS.includes(name) ? () => {} : () => inTurn(() => void keyWork(name)?.());
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
  $("learning").onchange = () => inTurn(() => learning.toggle());
  $("brush").oninput = (event) => useBrush(Number(event.target.value));
  for (const button of $("statuses").children)
    button.onclick = () => button.dataset.status === "empty" ? noTarget() : onImage(() => setStatus(button.dataset.status));
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
  setInterval(watchServer, LIST_MS);
  setInterval(retryWaiting, RETRY_MS);
}

listen();
inTurn(async () => {
  await refreshList();
  const first = list.known(sessionStorage.getItem(LAST)) ?? list.firstOpen();
  if (first) openImage(first);
});
