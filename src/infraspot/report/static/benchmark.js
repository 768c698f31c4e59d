"use strict";

// The page of a grid of trainings.

header(report.title, "Means over seeds, with 95 % intervals over frames.");

const label = (number) => `${report.compared[number][0]}${number === "fa_area" ? ", 10⁻⁶" : ", %"}`;

report.tables.forEach((one, place) => {
  const part = section(`set-${place}`, one.title);
  const numbers = one.numbers;
  const paper = one.rows.some((row) => Object.values(row.figures).some((figure) => known(figure[4])));
  const chosen = make("select", { "aria-label": "Number", onchange: draw }, numbers.map((name) => make("option", { value: name, text: label(name) })));
  const picture = make("div");
  const table = sortable([
    { name: "network", of: (row) => row.network }, { name: "scheme", of: (row) => row.scheme }, { name: "seeds", of: (row) => row.seeds, number: true },
    ...numbers.flatMap((name) => [
      { name: label(name), of: (row) => row.figures[name][0], show: (row) => shown(row.figures[name], name), number: true },
      paper && { name: "paper", of: (row) => row.figures[name][4], show: (row) => scaled(row.figures[name][4], name), number: true },
    ].filter(Boolean)),
  ], { size: 50, sort: 3, falling: true, caption: one.title });
  table.set(one.rows);
  part.append(table, make("div", { class: "row controls" }, make("label", {}, "Draw", chosen)), picture);
  if (one.pairs.length) part.append(make("h3", { text: "Pairs" }), pairTable(one));
  part.append(...one.notes.map((note) => make("p", { class: "hint", text: note })));
  draw();

  function draw() {
    const name = chosen.value;
    const rows = [...one.rows].filter((row) => known(row.figures[name][0])).sort((a, b) => (b.figures[name][0] - a.figures[name][0]) * (name === "fa_area" ? -1 : 1));
    const most = name === "fa_area" ? Math.max(...rows.map((row) => row.figures[name][3] || row.figures[name][0])) || 1 : 1;
    picture.replaceChildren(bars(label(name), rows.map((row) => {
      const [mean, , low, high] = row.figures[name];
      return { label: `${row.network} ${row.scheme}`, share: mean / most, low: low / most, high: high / most, text: scaled(mean, name) };
    })));
  }
});

function scaled(value, number) {
  const [, factor, digits] = report.compared[number];
  return fixed(known(value) ? value * factor : null, digits);
}

function shown([mean, deviation], number) {
  return known(deviation) ? `${scaled(mean, number)} ± ${scaled(deviation, number)}` : scaled(mean, number);
}

function pairTable(one) {
  const table = sortable([
    { name: "first", of: (pair) => pair[0] }, { name: "second", of: (pair) => pair[1] }, { name: "number", of: (pair) => report.compared[pair[2]][0] },
    { name: "first - second", of: (pair) => pair[3], show: (pair) => scaled(pair[3], pair[2]), number: true },
    { name: "95 % interval", of: (pair) => pair[4], show: (pair) => range(pair[4], pair[5], (value) => scaled(value, pair[2])), number: true },
    { name: "p", of: (pair) => pair[6], show: (pair) => fixed(pair[6]), number: true }, { name: "p (Holm)", of: (pair) => pair[7], show: (pair) => fixed(pair[7]), number: true },
  ], { size: 20, sort: 6, caption: `Pairs of ${one.title}` });
  table.set(one.pairs);
  return table;
}

footer();
