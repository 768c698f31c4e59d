"use strict";

// The page of training runs.

const KINDS = ["own", "c1", "c2", "c3", "c4", "c5", "c6", "c7"];

header(report.title, "Figures are those of the best epoch on val, by each recipe's own rule; where val has no masks, against those grown from its clicks." + (report.runs_left_out ? ` ${plural(report.runs_left_out, "run")} left out.` : ""));
let chosen = report.runs.slice(0, Math.min(5, report.runs.length));

const runsPart = section("runs", "Runs", `The curves below show those that are ticked, up to ${KINDS.length}.`);
const figure = (name, digits, factor = 1) => ({
  name, of: (run) => best(run, FIGURES[name]), number: true,
  show: (run) => fixed(known(best(run, FIGURES[name])) ? best(run, FIGURES[name]) * factor : null, digits),
});
const best = (run, name) => run.best?.[name] ?? run.best?.["click_" + name] ?? null;
const FIGURES = { IoU: "iou", nIoU: "niou", Pd: "pd", "Fa, 10⁻⁶": "fa_area", AP: "ap" };
const table = sortable([
  { name: "shown", show: (run) => ticking(run) }, { name: "run", of: (run) => run.name, wide: true },
  { name: "network", of: (run) => run.network }, { name: "scheme", of: (run) => run.scheme }, { name: "seed", of: (run) => run.seed },
  { name: "epochs", of: (run) => run.epochs[0], show: (run) => `${run.epochs[0]} / ${run.epochs[1] ?? "?"}`, number: true },
  { name: "state", of: (run) => run.state }, { name: "best at", of: (run) => run.best?.epoch ?? null, number: true },
  figure("IoU", 4), figure("nIoU", 4), figure("Pd", 4), figure("Fa, 10⁻⁶", 1, 1e6), figure("AP", 4),
], { size: 30, sort: 8, falling: true, caption: "Runs" });
table.set(report.runs);
runsPart.append(table);

function ticking(run) {
  return make("input", {
    type: "checkbox", "aria-label": `show ${run.name}`, checked: chosen.includes(run), onchange: (event) => {
      chosen = event.target.checked ? [...chosen, run] : chosen.filter((one) => one !== run);
      if (chosen.length > KINDS.length) {
        chosen = chosen.slice(1);
        table.set(report.runs);
      }
      draw();
    },
  });
}

const curves = section("curves", "Curves");
const legend = make("p", {});
const panels = make("div", { class: "pair" });
curves.append(legend, panels);

function draw() {
  legend.replaceChildren(...chosen.map((run, k) => make("span", { class: "key" }, svg("svg", { viewBox: "0 0 24 8" }, svg("path", { class: `line ${KINDS[k]}`, d: "M0 4H24" })), run.name)));
  panels.replaceChildren(...report.panels.map(([number, label, factor]) => {
    const lines = chosen.map((run, k) => ({
      x: run.curves[number].map(([epoch]) => epoch), y: run.curves[number].map(([, value]) => (known(value) ? value * factor : null)), kind: KINDS[k],
    })).filter((line) => line.y.some(known));
    if (!lines.length) return null;
    return make("figure", { class: "panel" }, make("figcaption", { text: label }), plot(make("div"), { lines, xName: "epoch", name: label }));
  }).filter(Boolean));
}

draw();
const [head, ...options] = report.options;
section("options", "What the recipes differ in", options.length ? "" : "In nothing.").append(options.length ? plain(head, options) : "");
footer();
