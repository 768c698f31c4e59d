// The images at the left: their order, their state, and which one is open.

import { thumbnail } from "./api.js";

const ORDERS = {
  name: () => 0,
  uncertainty: (a, b) => (b.uncertainty ?? -1) - (a.uncertainty ?? -1),
  open: (a, b) => (a.status !== "open") - (b.status !== "open"),
};

export class ImageList {
  // ``shown`` are the elements that say how far the work has come: tally, bar and pace.
  constructor(list, shown, choose) {
    Object.assign(this, { list, shown, choose, images: [], order: "name", current: null });
    this.items = new Map();
  }

  ordered() {
    return [...this.images].sort(ORDERS[this.order]).map((row) => row.image);
  }

  neighbour(by) {
    const names = this.ordered();
    return names[names.indexOf(this.current) + by];
  }

  // The image if it is among these, or nothing.
  known(image) {
    return this.images.find((row) => row.image === image)?.image;
  }

  firstOpen() {
    const open = new Set(this.images.filter((row) => row.status === "open").map((row) => row.image));
    const names = this.ordered();
    return names.find((name) => open.has(name)) ?? names[0];
  }

  // The next image, after the open one and around, that is doubtful or holds a doubtful target.
  nextDoubtful() {
    const names = this.ordered();
    const start = names.indexOf(this.current) + 1;
    const doubtful = new Set(
      this.images.filter((row) => row.doubtful || row.status === "doubtful").map((row) => row.image));
    return [...names.slice(start), ...names.slice(0, start)].find((name) => doubtful.has(name));
  }

  update(image, changes, seconds) {
    const row = this.images.find((other) => other.image === image);
    Object.assign(row, changes, { seconds: row.seconds + seconds });
    this.draw();
  }

  draw() {
    this.drawProgress();
    const rows = new Map(this.images.map((row) => [row.image, row]));
    const items = this.ordered().map((name) => this.item(rows.get(name)));
    const shown = [...this.list.children];
    if (items.length !== shown.length || items.some((item, index) => item !== shown[index]))
      this.list.replaceChildren(...items);
  }

  drawProgress() {
    const { tally, bar, pace } = this.shown;
    const worked = this.images.filter((row) => row.status !== "open").length;
    tally.textContent = `${worked} of ${this.images.length}`;
    Object.assign(bar, { max: this.images.length || 1, value: worked });
    // Targets that came in from elsewhere cost nobody time.
    const sum = (key) => this.images.reduce((total, row) => total + (row.seconds ? row[key] : 0), 0);
    pace.textContent = sum("targets") ? `${(sum("seconds") / sum("targets")).toFixed(1)} s a target` : "";
  }

  item(row) {
    if (!this.items.has(row.image)) this.items.set(row.image, this.makeItem(row.image));
    const item = this.items.get(row.image);
    const all = row.doubtful ? `${row.targets}, ${row.doubtful} doubtful` : `${row.targets} target${row.targets === 1 ? "" : "s"}`;
    const status = item.querySelector(".status");
    status.textContent = row.status === "empty" ? "empty" : `${row.status} · ${all}`;
    status.className = `status ${row.status}`;
    item.setAttribute("aria-current", row.image === this.current);
    return item;
  }

  makeItem(image) {
    const item = document.createElement("li");
    const picture = Object.assign(new Image(), { src: thumbnail(image), loading: "lazy", alt: "" });
    const text = document.createElement("div");
    const name = Object.assign(document.createElement("b"), { textContent: image });
    text.append(name, Object.assign(document.createElement("span"), { className: "status" }));
    picture.onerror = () => picture.replaceWith(
      Object.assign(document.createElement("span"), { className: "no-picture", textContent: "no picture" }));
    item.dataset.image = image;
    item.append(picture, text);
    item.onclick = () => this.choose(image);
    return item;
  }

  reveal() {
    this.items.get(this.current)?.scrollIntoView({ block: "nearest" });
  }
}
