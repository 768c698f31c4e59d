"use strict";

// Elements, numbers and words that every report shares. Text goes in as text, never as markup.

const report = JSON.parse(document.getElementById("data").textContent);
const page = document.getElementById("page");

function fill(element, options, children) {
  for (const [name, value] of Object.entries(options)) {
    if (value === undefined || value === null || value === false) continue;
    if (name === "text") element.textContent = value;
    else if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

function make(tag, options = {}, ...children) {
  return fill(document.createElement(tag), options, children);
}

function svg(tag, options = {}, ...children) {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", tag), options, children);
}

const known = (value) => typeof value === "number" && Number.isFinite(value);

function fixed(value, digits = 3) {
  return known(value) ? value.toFixed(digits) : "–";
}

// About three digits, whatever the size: 12,300, 45.6, .0012 as 0.0012.
function short(value) {
  if (!known(value)) return "–";
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size >= 100) return Math.round(value).toLocaleString("en");
  if (size < 1e-4) return value.toExponential(1);
  return String(Number(value.toPrecision(3)));
}

function range(low, high, show) {
  return known(low) && known(high) ? `${show(low)} – ${show(high)}` : "";
}

const plural = (count, one, many = `${one}s`) => `${count.toLocaleString("en")} ${count === 1 ? one : many}`;

const WORDS = {
  good: "found", too_small: "found, too small", too_large: "found, too large", merged_cluster: "merged with a neighbour", split: "split",
  displaced: "displaced", miss: "missed", at_target: "beside a target", border: "at the border",
  speck: "speck of 1–2 px", clutter: "clutter", faint: "fainter than scored",
};

const word = (name) => WORDS[name] ?? name;

// A section of the page and its place in the contents at the top.
const contents = make("nav", { "aria-label": "Contents" });

function section(id, title, hint, ...children) {
  const heading = make("h2", { id, text: title, tabindex: "-1" });
  contents.append(make("a", { href: `#${id}`, text: title }));
  const part = make("section", { "aria-labelledby": id }, heading, hint && make("p", { class: "hint", text: hint }), children);
  page.append(part);
  return part;
}

function tile(label, value, interval, remark) {
  return make(
    "div", { class: "tile" },
    make("span", { class: "label", text: label }),
    make("b", { text: value }),
    interval && make("span", { class: "interval", text: interval }),
    remark && make("span", { class: "label", text: remark }),
  );
}

function facts(pairs) {
  const rows = pairs.filter(([, value]) => value !== null && value !== undefined && value !== "");
  return make("dl", { class: "facts" }, rows.map(([name, value]) => [make("dt", { text: name }), make("dd", { text: value })]));
}

function header(title, subtitle) {
  page.prepend(make("header", {}, make("p", { class: "mark", text: "infraspot" }), make("h1", { text: title }),
    make("p", { class: "hint", text: subtitle })), contents);
}

// A file of the page's data, made here and given to the browser to save.
function saver(label, name, kind, text) {
  return make("button", {
    type: "button", text: label, onclick: () => {
      const address = URL.createObjectURL(new Blob([text()], { type: kind }));
      make("a", { href: address, download: name }).click();
      setTimeout(() => URL.revokeObjectURL(address), 1000);
    },
  });
}

function footer() {
  page.append(make(
    "footer", {},
    make("p", { text: `Written by infraspot ${report.version}. All numbers stand as JSON in this file.` }),
    saver("Save the data as JSON", "report.json", "application/json", () => JSON.stringify(report, null, 1)),
  ));
}
