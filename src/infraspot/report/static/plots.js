"use strict";

// Lines and bars as SVG and plain elements, so that they follow the theme and print sharply.

const MARGIN = { right: 14, top: 12, bottom: 42 };

// A scale from values to 0..1. A logarithmic one has a place for 0 at its left end.
function scaleOf(values, logarithmic, low, high) {
  if (!logarithmic) {
    const least = low ?? Math.min(...values);
    const most = high ?? Math.max(...values);
    const span = most - least || 1;
    const step = niceStep(span / 5);
    const ticks = [];
    for (let k = Math.ceil(least / step - 1e-9); k * step <= most + step * 1e-9; k++) ticks.push(Number((k * step).toPrecision(12)));
    return { at: (value) => (value - least) / span, ticks, show: short };
  }
  const positive = values.filter((value) => value > 0);
  const least = Math.floor(Math.log10(Math.min(...positive, 1)));
  const most = Math.max(Math.ceil(Math.log10(Math.max(...positive, 0.1))), least + 1);
  const zero = values.some((value) => value === 0) ? 0.07 : 0;
  const ticks = [];
  const every = Math.ceil((most - least) / 6);
  for (let power = least; power <= most; power += every) ticks.push(10 ** power);
  return {
    at: (value) => (value > 0 ? zero + (1 - zero) * Math.max((Math.log10(value) - least) / (most - least), 0) : 0),
    ticks: zero ? [0, ...ticks] : ticks,
    show: short,
  };
}

function niceStep(step) {
  const power = 10 ** Math.floor(Math.log10(step));
  return [1, 2, 5, 10].map((factor) => factor * power).find((nice) => nice >= step * 0.999);
}

// Lines in axes. spec: {lines: [{x, y, low, high, kind, name}], marks: [{x, y, kind, label}], xName, yName (or name), logX,
// yLow, yHigh, pick(line, place)}. Returns the host with `redraw()`; it is drawn anew whenever its width changes.
function plot(host, spec) {
  host.classList.add("plot");
  host.redraw = () => host.replaceChildren(drawn(host, spec));
  let width = 0;
  new ResizeObserver(() => {
    if (host.clientWidth !== width) {
      width = host.clientWidth;
      host.redraw();
    }
  }).observe(host);
  return host;
}

function drawn(host, spec) {
  const width = Math.max(host.clientWidth, 260);
  const height = Math.round(Math.min(Math.max(width * 0.6, 220), 360));
  const lines = spec.lines.filter((line) => line.y.some(known));
  const xs = scaleOf(lines.flatMap((line) => line.x.filter(known)), spec.logX, spec.xLow, spec.xHigh);
  const ys = scaleOf(lines.flatMap((line) => line.y.filter(known)), spec.logY, spec.yLow, spec.yHigh);
  const left = (spec.yName ? 26 : 10) + 7 * Math.max(...ys.ticks.map((tick) => ys.show(tick).length), 3);
  const across = (value) => left + xs.at(value) * (width - left - MARGIN.right);
  const down = (value) => height - MARGIN.bottom - ys.at(value) * (height - MARGIN.top - MARGIN.bottom);
  const picture = svg("svg", {
    viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `${spec.yName || spec.name} against ${spec.xName}`,
  });
  for (const tick of xs.ticks) {
    picture.append(
      svg("path", { class: "grid", d: `M${across(tick)} ${MARGIN.top}V${height - MARGIN.bottom}` }),
      svg("text", { x: across(tick), y: height - MARGIN.bottom + 17, "text-anchor": "middle" }, xs.show(tick)),
    );
  }
  for (const tick of ys.ticks) {
    picture.append(
      svg("path", { class: "grid", d: `M${left} ${down(tick)}H${width - MARGIN.right}` }),
      svg("text", { x: left - 7, y: down(tick) + 4, "text-anchor": "end" }, ys.show(tick)),
    );
  }
  picture.append(
    svg("text", { class: "axis", x: (left + width - MARGIN.right) / 2, y: height - 6, "text-anchor": "middle" }, spec.xName),
    svg("text", { class: "axis", x: 13, y: height / 2 - 14, "text-anchor": "middle", transform: `rotate(-90 13 ${height / 2 - 14})` }, spec.yName ?? ""),
  );
  for (const line of lines) picture.append(...drawnLine(line, across, down));
  picture.append(...drawnMarks(spec.marks?.() ?? [], across, down, width));
  if (spec.pick) picture.addEventListener("click", (event) => spec.pick(nearest(picture, event, lines[0], across, down, width)));
  return picture;
}

// Marks with their names below them, or above where another name stands already.
function drawnMarks(marks, across, down, width) {
  const parts = [];
  const taken = [];
  for (const mark of marks) {
    if (!known(mark.x) || !known(mark.y)) continue;
    const [x, y] = [across(mark.x), down(mark.y)];
    parts.push(svg("circle", { class: `mark ${mark.kind}`, cx: x, cy: y, r: mark.kind === "chosen" ? 7 : 4 }));
    if (!mark.label) continue;
    const left = x > width * 0.75;
    const free = [18, -10, 32].find((gap) => taken.every(([tx, ty]) => Math.abs(tx - x) > 60 || Math.abs(ty - y - gap) > 13)) ?? 18;
    taken.push([x, y + free]);
    parts.push(svg("text", { class: "label", x: x + (left ? -6 : 6), y: y + free, "text-anchor": left ? "end" : "start" }, mark.label));
  }
  return parts;
}

function drawnLine(line, across, down) {
  const places = line.x.map((value, k) => k).filter((k) => known(line.x[k]) && known(line.y[k]));
  const parts = [];
  if (line.low) {
    const banded = places.filter((k) => known(line.low[k]) && known(line.high[k]));
    const upper = banded.map((k) => `${across(line.x[k])} ${down(line.high[k])}`);
    const lower = banded.map((k) => `${across(line.x[k])} ${down(line.low[k])}`).reverse();
    if (banded.length) parts.push(svg("path", { class: `band ${line.kind}`, d: `M${[...upper, ...lower].join("L")}Z` }));
  }
  if (places.length === 1) parts.push(svg("circle", { class: `line ${line.kind}`, cx: across(line.x[places[0]]), cy: down(line.y[places[0]]), r: 2.5 }));
  parts.push(svg("path", { class: `line ${line.kind}`, d: `M${places.map((k) => `${across(line.x[k])} ${down(line.y[k])}`).join("L")}` }));
  return parts;
}

function nearest(picture, event, line, across, down, width) {
  const box = picture.getBoundingClientRect();
  const zoom = width / box.width;
  const gap = (k) => Math.hypot(across(line.x[k]) - (event.clientX - box.left) * zoom, down(line.y[k]) - (event.clientY - box.top) * zoom);
  return line.x.map((value, k) => k).filter((k) => known(line.x[k]) && known(line.y[k])).reduce((a, b) => (gap(b) < gap(a) ? b : a));
}

// One bar a row with its 95 % interval. rows: [{label, share, low, high, text, faint}], all of 0..1.
function bars(title, rows) {
  return make(
    "figure", { class: "bars" }, make("figcaption", { text: title }),
    rows.map((row) => {
      const fillBar = make("span", { class: "fill" });
      fillBar.style.width = `${100 * (row.share || 0)}%`;
      const whisker = make("span", { class: "whisker" });
      whisker.style.left = `${100 * (row.low || 0)}%`;
      whisker.style.width = `${100 * ((row.high || 0) - (row.low || 0))}%`;
      return make(
        "div", { class: row.faint ? "bar faint" : "bar" },
        make("span", { class: "name", text: row.label }),
        make("span", { class: "track" }, fillBar, known(row.low) && whisker),
        make("span", { class: "value", text: row.text }),
      );
    }),
  );
}
