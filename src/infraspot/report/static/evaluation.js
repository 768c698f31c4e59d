"use strict";

// The page of one evaluation, and of its comparison with another.

const numbers = report.numbers;
const intervals = numbers.intervals;
const [NAME, OTHER_NAME] = namesOf(report.names.map((name) => name.split(/[\\/]/).filter(Boolean).pop() ?? name));
const OWN = { first: `${NAME} only`, other: `${OTHER_NAME} only`, both: "both", neither: "neither" };

const cases = report.cases.rows.map((row, place) => {
  const one = Object.fromEntries(report.cases.columns.map((name, k) => [name, row[k]]));
  return { ...one, scored: { found: one.found, word: one.word, by: one.by }, shown: one.word !== "faint", picture: report.pictures[place] };
});

// The threshold in force. The slider sets it, and the list of cases follows.
let level = numbers.threshold;
let follow = () => {};

function setLevel(threshold) {
  level = threshold;
  cases.forEach(judge);
  follow();
}

// What becomes of a case at the threshold in force: a detection counts where its score is above it.
function judge(one) {
  const { found, word: kind, by } = one.scored;
  const has = kind === "faint" ? false : one.kind === "target" ? found : by !== "other";
  const others = by === "both" || by === "other";
  const ours = one.kind === "target" || by !== "other"; // the score of an alarm that the other has alone is the other's
  let own = has;
  if (level > numbers.threshold) own = has && one.score > level;
  // A target that is missed though something scores there is missed for another reason than its score.
  if (level < numbers.threshold) own = has || (ours && one.score <= numbers.threshold && one.score > level);
  one.shown = one.kind === "target" || own || others;
  if (known(by)) one.by = own ? (others ? "both" : "first") : others ? "other" : "neither";
  if (one.kind === "target") {
    one.found = own;
    one.word = own === found ? kind : own ? "good" : "miss";
  }
}

// Two detectors of one name are told apart by their thresholds.
function namesOf(names) {
  return names.length > 1 && names[0] === names[1] ? names.map((name, k) => `${name} at ${short(report.thresholds[k])}`) : names;
}

function head() {
  header(report.title, `${plural(numbers.n_images, "frame")}, ${plural(numbers.n_targets, "target")}, protocol ${numbers.protocol} at threshold ${short(numbers.threshold)}. Intervals are 95 %.`);
  const interval = (name, show) => range(...(intervals[name] ?? [null, null]), show);
  const scale = (digits, factor = 1) => (value) => fixed(value * factor, digits);
  const shown = [
    ["Targets found (Pd)", "pd", scale(3)], ["False alarms a frame", "false_alarms_per_image", scale(3)],
    ["False alarms a megapixel", "false_alarms_per_megapixel", scale(2)], ["IoU", "iou", scale(3)], ["nIoU", "niou", scale(3)],
    ["Fa of components, 10⁻⁶", "fa_area", scale(1, 1e6)],
  ];
  page.append(make("div", { class: "tiles" }, shown.map(([label, name, show]) => tile(label, known(numbers[name]) ? show(numbers[name]) : "–", interval(name, show), known(numbers[name]) ? "" : numbers.reasons[name]))));
  if (report.n_not_scored) {
    page.append(make("p", { class: "bad", text: `${plural(report.n_not_scored, "frame")} could not be scored and ${report.n_not_scored === 1 ? "is" : "are"} left out: ${report.frames_not_scored.slice(0, 5).join(", ")}${report.n_not_scored > 5 ? ", …" : ""}.` }));
  }
}

// Which threshold gives what, and the command that sets it.
function chooser() {
  const curve = report.curves[0];
  const part = section("choose", "Operating point", curve ? "Move the slider, or click the curve. What the threshold gives on these frames stands beside it, and the list of targets and alarms follows; on other frames it may give something else." : "");
  if (!curve) {
    part.append(make("p", { text: `There is no curve: ${numbers.curve_reason ?? "the predictions have no scores"}.` }));
    return;
  }
  const at = (threshold) => curve.threshold.reduce((best, value, k) => (Math.abs(value - threshold) < Math.abs(curve.threshold[best] - threshold) ? k : best), 0);
  const perFrame = report.megapixels / numbers.n_images;
  const scored = at(numbers.threshold);
  let chosen = scored;
  const slider = make("input", { type: "range", id: "threshold", min: 0, max: curve.threshold.length - 1, step: 1, value: chosen, oninput: () => choose(Number(slider.value)) });
  const fps = make("input", { type: "number", id: "fps", min: 0, step: "any", value: report.fps, oninput: () => choose(chosen) });
  const size = make("input", { type: "number", id: "megapixels", min: 0, step: "any", value: Number(perFrame.toPrecision(3)), oninput: () => choose(chosen) });
  const limit = make("input", { type: "number", id: "limit", min: 0, step: "any", placeholder: "any", onchange: () => within() });
  const readings = make("dl", { class: "readings", "aria-live": "polite" });
  const code = make("code", { id: "command" });
  const copy = make("button", { type: "button", text: "Copy", onclick: () => copyText(code, copy) });
  const host = plot(make("div", { id: "curve" }), {
    lines: report.curves.filter(Boolean).map((one, k) => ({ x: one.false, y: one.pd, low: one.pd_low, high: one.pd_high, kind: k ? "other" : "own" })),
    marks: () => [
      ...Object.entries(report.points).map(([label, threshold]) => ({ x: curve.false[at(threshold)], y: curve.pd[at(threshold)], kind: "named", label })),
      { x: curve.false[chosen], y: curve.pd[chosen], kind: "chosen" },
    ],
    xName: "false alarms a megapixel", yName: "Pd", logX: true, yLow: lowestOf(curve.pd), yHigh: 1, pick: (k) => choose(k),
  });
  const buttons = [["scored", numbers.threshold], ...Object.entries(report.points)].map(([label, threshold]) => make("button", {
    type: "button", text: `${label} ${short(threshold)}`, "data-at": at(threshold), onclick: () => choose(at(threshold)),
  }));

  function choose(k) {
    chosen = k;
    slider.value = k;
    const threshold = curve.threshold[k];
    slider.setAttribute("aria-valuetext", `threshold ${threshold}`);
    const hourly = Number(size.value) * Number(fps.value) * 3600;
    const found = Math.round(curve.pd[k] * numbers.n_targets);
    const rows = [
      ["Threshold", String(Number(threshold.toPrecision(6)))],
      ["Pd", fixed(curve.pd[k]), range(curve.pd_low?.[k], curve.pd_high?.[k], fixed)],
      ["Missed", known(curve.pd[k]) ? `${numbers.n_targets - found} of ${numbers.n_targets}` : "–"],
      ["False a megapixel", short(curve.false[k]), range(curve.false_low?.[k], curve.false_high?.[k], short)],
      ["False a frame", short(curve.false[k] * Number(size.value))],
      ["False an hour", short(curve.false[k] * hourly), range(curve.false_low?.[k] * hourly, curve.false_high?.[k] * hourly, short)],
      ["IoU", fixed(curve.iou?.[k])],
    ];
    readings.replaceChildren(...rows.flatMap(([name, value, interval]) => [
      make("dt", { text: name }), make("dd", {}, make("b", { text: value }), interval && make("span", { class: "interval", text: interval })),
    ]));
    code.textContent = commandAt(threshold);
    setLevel(k === scored ? numbers.threshold : threshold);
    for (const button of buttons) button.setAttribute("aria-pressed", String(Number(button.dataset.at) === k));
    host.redraw();
  }
  function within() {
    const most = Number(limit.value) / (Number(size.value) * Number(fps.value) * 3600);
    const fitting = curve.pd.map((_, k) => k).filter((k) => known(curve.pd[k]) && curve.false[k] <= most);
    if (limit.value !== "" && fitting.length) choose(fitting.reduce((a, b) => (curve.pd[b] >= curve.pd[a] ? b : a)));
  }

  part.append(make(
    "div", { class: "chooser" },
    make("div", {}, host, report.curves.length > 1 && keys()),
    make(
      "div", {},
      make("label", { for: "threshold", text: "Threshold" }), slider,
      make("div", { class: "row controls" }, buttons),
      readings,
      make("div", { class: "row" }, make("label", {}, "Frames a second", fps), make("label", {}, "Megapixels a frame", size)),
      make("div", { class: "row controls" }, make("label", {}, "At most, an hour", limit), make("span", { class: "hint", text: "finds the highest Pd" })),
    ),
  ), make("div", { class: "command" }, code, copy), make("p", {
    class: "hint", text: "An hour counts every frame by itself: structure that stays in view is counted in each of them. A threshold that is chosen on these frames flatters on these frames; test it on others.",
  }));
  choose(chosen);
}

// Where the axis of Pd begins: a fifth or more below the least value that is drawn.
function lowestOf(values) {
  const positive = values.filter((value) => value > 0);
  return positive.length ? Math.max(Math.floor((Math.min(...positive) - 0.15) * 5) / 5, 0) : 0;
}

function commandAt(threshold) {
  const quoted = (text) => (/^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`);
  const start = report.command ?? ["infraspot", "detect", "FRAMES", "--model", "MODEL"];
  return [...start.map(quoted), "--threshold", Number(threshold.toPrecision(8))].join(" ");
}

async function copyText(code, button) {
  getSelection().selectAllChildren(code);
  try {
    await navigator.clipboard.writeText(code.textContent);
  } catch {
    document.execCommand("copy"); // a page from a file may have no clipboard of its own
  }
  button.textContent = "Copied";
  setTimeout(() => { button.textContent = "Copy"; }, 1500);
}

function keys() {
  return make("p", {}, [[NAME, "own"], [OTHER_NAME, "other"]].map(([name, kind]) => make(
    "span", { class: "key" }, svg("svg", { viewBox: "0 0 24 8" }, svg("path", { class: `line ${kind}`, d: "M0 4H24" })), name,
  )));
}

function strata() {
  if (!report.strata.length) return;
  const part = section("targets", "Which targets are found", `At the scored threshold of ${short(numbers.threshold)}. Pd with its 95 % interval (Wilson). Pale rows hold fewer than 10 targets.`);
  const words = Object.entries(report.errors).filter(([name, count]) => name !== "clutter" && count);
  const total = words.reduce((sum, [, count]) => sum + count, 0);
  part.append(make("div", { class: "pair" }, report.strata.map((stratum) => bars(
    `By ${stratum.name}${stratum.unit ? `, ${stratum.unit}` : ""}`,
    stratum.rows.filter((row) => row.targets).map((row) => ({
      label: row.range.replace("<=", "≤"), share: row.hits / row.targets, low: row.low, high: row.high, faint: row.targets < 10,
      text: `${fixed(row.hits / row.targets, 2)}  ${row.hits} of ${row.targets}`,
    })),
  )), bars("What becomes of a target", words.map(([name, count]) => ({ label: word(name), share: count / total, text: `${count} of ${total}` })))));
}

function alarms() {
  const count = numbers.n_false_detections;
  const part = section("alarms", "False alarms", count ? `${plural(count, "false alarm")} in ${plural(numbers.n_images, "frame")}, ${short(report.megapixels)} megapixels.` : "There is no false alarm.");
  if (!count) return;
  const causes = Object.entries(report.causes).sort((a, b) => b[1] - a[1]);
  part.append(make("div", { class: "pair" }, bars("By cause", causes.map(([name, n]) => ({ label: word(name), share: n / count, text: `${n} of ${count}` }))), worstShare(count)));
  const scenes = report.scenes.filter((row) => row[4]);
  if (report.scenes.length > 1) {
    const table = sortable([
      { name: "scene", of: (row) => row[0], wide: true },
      { name: "frames", of: (row) => row[1], number: true }, { name: "targets", of: (row) => row[2], number: true },
      { name: "missed", of: (row) => row[3], number: true }, { name: "false", of: (row) => row[4], number: true },
      { name: "a megapixel", of: (row) => row[4] / row[5], show: (row) => short(row[4] / row[5]), number: true },
      { name: "95 % interval", of: (row) => row[7], show: (row) => range(row[6], row[7], short), number: true },
    ], { size: 10, caption: "False alarms by scene" });
    table.set(scenes);
    part.append(make("h3", { text: "By scene: frames whose names differ in their last number" }), table);
    if (report.scenes_left_out) part.append(make("p", { class: "hint", text: `${plural(report.scenes_left_out, "scene")} with fewer false alarms ${report.scenes_left_out === 1 ? "is" : "are"} left out.` }));
  }
}

// How few frames hold how many of the false alarms.
function worstShare(count) {
  const rows = [...report.frames].filter((row) => row[5]).sort((a, b) => b[5] - a[5]);
  const shown = rows.slice(0, 5).map((row) => ({ label: row[0], share: row[5] / count, text: plural(row[5], "false alarm") }));
  return bars(`In ${plural(rows.length, "frame")} of ${numbers.n_images}`, shown);
}

function compared() {
  if (!report.comparison) return;
  const { numbers: table, targets } = report.comparison;
  const part = section("compare", "Comparison", `${NAME} against ${OTHER_NAME}, over the same frames.`);
  const labels = { iou: ["IoU", 1, 4], niou: ["nIoU", 1, 4], pd: ["Pd", 1, 4], fa_area: ["Fa of components, 10⁻⁶", 1e6, 2], false_alarms_per_megapixel: ["False alarms a megapixel", 1, 3] };
  part.append(make("div", { class: "tiles" },
    tile("Both find", String(targets.both)), tile(`Only ${NAME}`, String(targets.only_one)), tile(`Only ${OTHER_NAME}`, String(targets.only_other)),
    tile("Neither", String(targets.neither)), tile("McNemar’s exact test", `p = ${fixed(targets.p)}`, "", "of the targets that one alone finds"),
  ), plain(["", NAME, OTHER_NAME, "difference", "95 % interval", "p"], Object.entries(labels).map(([name, [label, factor, digits]]) => {
    const row = table[name];
    const show = (value) => fixed(known(value) ? value * factor : null, digits);
    return [label, show(row.one), show(row.other), show(row.difference), range(row.low, row.high, show), fixed(row.p)];
  })), make("p", { class: "hint", text: "Intervals of the difference over frames drawn with replacement, the same frames for both; p by flipping the two answers to each frame. Targets and alarms that one of the two has alone are among the cases below." }));
}

// What is shown of the cases, by name: [label, which].
function kinds() {
  const found = [
    ["errors", "errors", (one) => !one.found], ["missed", "missed targets", (one) => one.kind === "target" && !one.found],
    ["alarms", "false alarms", (one) => one.kind === "alarm" && one.by !== "other"], ["found", "found targets", (one) => one.found === true], ["all", "all", () => true],
  ];
  if (!report.comparison) return found;
  return [
    ...found, ["wins", `${NAME} is right alone`, (one) => (one.kind === "target" ? one.by === "first" : one.by === "other")],
    ["losses", `${OTHER_NAME} is right alone`, (one) => (one.kind === "target" ? one.by === "other" : one.by === "first")],
  ];
}

function listing() {
  const part = section("cases", "Every target and every alarm", "Truth is outlined in solid green, what was found in dashed orange" + (report.comparison ? `, and what ${OTHER_NAME} found in dotted violet` : "") + ". Contrast is stretched in each picture. A picture opens larger; there the arrow keys go on.");
  const known_kinds = kinds();
  const kind = make("select", { id: "kind", "aria-label": "Show", onchange: show }, known_kinds.map(([value, label]) => make("option", { value, text: label })));
  const words = [...new Set([...cases.map((one) => one.word), ...(report.curves[0] ? ["good", "miss"] : [])])].sort();
  const cause = make("select", { id: "word", "aria-label": "Kind", onchange: show }, make("option", { value: "", text: "any kind" }), words.map((value) => make("option", { value, text: word(value) })));
  const text = make("input", { type: "search", id: "search", placeholder: "frame", "aria-label": "Frame", oninput: show });
  const views = ["Table", "Pictures"].map((label) => make("button", { type: "button", text: label, "aria-pressed": String(label === "Table"), onclick: () => view(label) }));
  const table = sortable(columns(), { size: 25, open, caption: "Cases" });
  const gallery = make("div", { class: "gallery", hidden: true });
  const more = make("button", { type: "button", text: "More", hidden: true, onclick: () => grow() });
  const state = make("p", { id: "state", "aria-live": "polite" });
  let selected = [];
  let drawnCases = 0;

  function show() {
    const wanted = known_kinds.find(([value]) => value === kind.value)[2];
    const part_of = text.value.toLowerCase();
    selected = cases.filter((one) => one.shown && wanted(one) && (!cause.value || one.word === cause.value) && one.frame.toLowerCase().includes(part_of));
    table.set(selected);
    state.textContent = stateAt();
    gallery.replaceChildren();
    drawnCases = 0;
    if (!gallery.hidden) grow();
  }
  function grow() {
    const ordered = table.ordered();
    gallery.append(...ordered.slice(drawnCases, drawnCases + 60).map((one) => opener(one, open, make("span", { text: word(one.word), class: one.found ? "" : "bad" }), make("span", { class: "name", text: one.frame }))));
    drawnCases = Math.min(drawnCases + 60, ordered.length);
    more.hidden = gallery.hidden || drawnCases >= ordered.length;
  }
  function view(label) {
    for (const button of views) button.setAttribute("aria-pressed", String(button.textContent === label));
    table.hidden = label !== "Table";
    gallery.hidden = label === "Table";
    more.hidden = true;
    if (!gallery.hidden && !drawnCases) grow();
  }
  function open(one) {
    dialogOf(table.ordered(), one);
  }

  part.append(make("div", { class: "row controls" }, make("label", {}, "Show", kind), cause, text, views, saver("Save as CSV", "cases.csv", "text/csv", () => csvOf(selected))), state, table, gallery, more);
  const unseen = cases.filter((one) => !one.picture).length;
  const told = [report.cases_left_out && `${plural(report.cases_left_out, "case")} left out of the list, found targets first`, unseen && `${plural(unseen, "case")} without a picture`].filter(Boolean);
  if (told.length) part.append(make("p", { class: "hint", id: "left-out", text: `To keep this file small: ${told.join("; ")}.` }));
  if (!cases.some((one) => one.shown && !one.found)) kind.value = "all";
  follow = show;
  show();
}

// How many cases there are at the threshold in force, and whether the list holds all of them.
function stateAt() {
  const missed = cases.filter((one) => one.kind === "target" && !one.found).length;
  const raised = cases.filter((one) => one.kind === "alarm" && one.shown && one.by !== "other").length;
  const told = `At threshold ${short(level)}${level === numbers.threshold ? ", as scored" : ""}: ${missed} missed, ${plural(raised, "false alarm")}.`;
  return level < numbers.threshold ? `${told} Of each frame, at most 10 fainter than scored are listed, down to a score of ${short(0.1 * numbers.threshold)}${report.comparison ? " where one detector is scored" : ""}.` : told;
}

function columns() {
  return [
    { name: "", show: (one, open) => opener(one, open) },
    { name: "kind", of: (one) => word(one.word), show: (one) => make("span", { class: one.found ? "" : "bad", text: word(one.word) }) },
    report.comparison && { name: "by", of: (one) => one.by, show: (one) => OWN[one.by] ?? "–" },
    { name: "frame", of: (one) => one.frame, wide: true },
    { name: "x", of: (one) => one.x, show: (one) => fixed(one.x, 1), number: true },
    { name: "y", of: (one) => one.y, show: (one) => fixed(one.y, 1), number: true },
    { name: "area", of: (one) => one.area, number: true },
    { name: "SCR", of: (one) => one.scr, show: (one) => fixed(one.scr, 1), number: true },
    { name: "score", of: (one) => one.score, show: (one) => fixed(one.score), number: true },
    { name: "IoU", of: (one) => one.iou, show: (one) => fixed(one.iou, 2), number: true },
    { name: "off by", of: (one) => one.distance, show: (one) => fixed(one.distance, 1), number: true },
    { name: "border", of: (one) => one.border, number: true },
  ].filter(Boolean);
}

function crop(picture) {
  if (!picture) return make("span", { class: "crop none", text: "no picture" });
  const [png, , , width, height, truth, found, other] = picture;
  return make(
    "span", { class: "crop" }, make("img", { src: `data:image/png;base64,${png}`, alt: "", loading: "lazy" }),
    svg("svg", { viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none" }, [["truth", truth], ["found", found], ["other", other]].filter(([, path]) => path).map(([kind, path]) => svg("path", { class: kind, d: path }))),
  );
}

function opener(one, open, ...more) {
  const label = `${word(one.word)} in ${one.frame} at ${fixed(one.x, 0)}, ${fixed(one.y, 0)}`;
  return make("button", { type: "button", class: "open", "aria-label": label, title: label, onclick: () => open(one) }, crop(one.picture), more);
}

// One case, large, with the ones before and after it.
function dialogOf(list, first) {
  let place = list.indexOf(first);
  const body = make("div", { class: "case" });
  const told = make("span", { class: "hint" });
  const step = (by) => {
    place = (place + by + list.length) % list.length;
    show();
  };
  const dialog = make(
    "dialog", { "aria-label": "One case", onclose: () => dialog.remove(), onkeydown: (event) => {
      if (event.key === "ArrowRight") step(1);
      if (event.key === "ArrowLeft") step(-1);
    } }, body,
    make("div", { class: "row" }, make("button", { type: "button", text: "Back", onclick: () => step(-1) }), make("button", { type: "button", text: "Next", autofocus: true, onclick: () => step(1) }), make("button", { type: "button", text: "Close", onclick: () => dialog.close() }), told),
  );
  function show() {
    const one = list[place];
    const picture = crop(one.picture);
    if (one.picture) picture.style.aspectRatio = `${one.picture[3]} / ${one.picture[4]}`;
    const about = [
      ["place", `${fixed(one.x, 1)}, ${fixed(one.y, 1)}`], ["area", plural(one.area, "pixel")], ["SCR", one.scr === null ? "" : fixed(one.scr, 1)],
      ["score", fixed(one.score)], ["threshold", short(level)], ["IoU", one.iou === null ? "" : fixed(one.iou, 2)],
      ["off by", one.distance === null ? "" : `${fixed(one.distance, 1)} pixels`], ["to the border", plural(one.border, "pixel")],
      [one.kind === "target" ? "found by" : "raised by", OWN[one.by] ?? ""],
      ["shown", one.picture ? `${one.picture[3]} × ${one.picture[4]} pixels from ${one.picture[1]}, ${one.picture[2]}` : ""],
    ];
    body.replaceChildren(picture, make("div", {}, make("h3", { text: one.frame }), make("p", { class: one.found ? "good" : "bad", text: word(one.word) }), facts(about)));
    told.textContent = `${place + 1} of ${list.length}`;
  }
  show();
  document.body.append(dialog);
  dialog.showModal();
}

function csvOf(list) {
  // A leading sign would make a spreadsheet take a name for a formula.
  const quoted = (value) => (typeof value === "string" ? `"${(/^[=+@\t\r-]/.test(value) ? `'${value}` : value).replaceAll('"', '""')}"` : String(value ?? ""));
  return [report.cases.columns.join(","), ...list.map((one) => report.cases.columns.map((name) => quoted(one[name])).join(","))].join("\n");
}

function frames() {
  const part = section("frames", "Frames", report.frames_left_out ? `The ${report.frames.length} with the most errors; ${plural(report.frames_left_out, "frame")} left out.` : "");
  const table = sortable([
    { name: "frame", of: (row) => row[0], wide: true }, { name: "size", of: (row) => row[1] * row[2], show: (row) => `${row[1]} × ${row[2]}`, number: true },
    { name: "targets", of: (row) => row[3], number: true }, { name: "missed", of: (row) => row[4], number: true },
    { name: "false", of: (row) => row[5], number: true }, { name: "false pixels", of: (row) => row[6], number: true },
  ], { size: 15, caption: "Frames" });
  table.set(report.frames);
  part.append(table);
}

function method() {
  const source = report.source;
  const part = section("method", "How this was measured");
  part.append(facts([
    ["predictions", source.taken], ["model file", source.sha256 && `SHA-256 ${source.sha256}`], ["against", source.truth], ["split", source.split ?? "all frames"],
    ["compared with", report.names[1] && `${report.names[1]} at threshold ${short(report.thresholds[1])}`],
    ["protocol", `${numbers.protocol}: ${numbers.definition}`], ["threshold", short(numbers.threshold)],
    ["operating points", Object.entries(report.points).map(([name, value]) => `${name} ${short(value)}`).join(", ")],
    ["intervals", source.bootstrap ? `95 %, over whole frames drawn with replacement ${source.bootstrap.toLocaleString("en")} times, seed ${source.seed}; shares of targets by Wilson, rates of scenes by Garwood` : "none asked for"],
    ["frames without prediction", source.missing === "empty" ? "count as empty" : "are left out"],
  ]));
  part.append(plain(["number", "value", "95 % interval"], report.rows));
}

head();
chooser();
strata();
alarms();
compared();
listing();
frames();
method();
footer();
