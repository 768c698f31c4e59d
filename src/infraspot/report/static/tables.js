"use strict";

// A table that sorts by its heads and shows its rows in pages.
// columns: [{name, of(row), show(row), number, wide}]; `show` gives text or an element, `of` what is sorted by.
function sortable(columns, { size = 50, sort = null, falling = false, open = null, caption = "" } = {}) {
  const state = { rows: [], sort, falling, from: 0 };
  const head = make("tr");
  const body = make("tbody");
  const told = make("span", { class: "hint", "aria-live": "polite" });
  const back = make("button", { type: "button", text: "Back", onclick: () => turn(-size) });
  const on = make("button", { type: "button", text: "Next", onclick: () => turn(size) });
  const heads = columns.map((column, k) => {
    const button = make("button", { type: "button", text: column.name, onclick: () => sortBy(k) });
    const cell = make("th", { scope: "col", class: column.number && "number" }, column.of ? button : column.name);
    head.append(cell);
    return cell;
  });
  const table = make("table", {}, make("thead", {}, head), body);
  const pager = make("div", { class: "pager" }, back, on, told);
  const element = make("div", { class: "sortable" }, make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption || "table" }, table), pager);

  function sortBy(k) {
    state.falling = state.sort === k ? !state.falling : Boolean(columns[k].number);
    state.sort = k;
    state.from = 0;
    show();
  }
  function turn(by) {
    state.from += by;
    show();
  }
  function ordered() {
    if (state.sort === null) return state.rows;
    const of = columns[state.sort].of;
    const sign = state.falling ? -1 : 1;
    const empty = (value) => value === null || value === undefined || Number.isNaN(value);
    return [...state.rows].sort((a, b) => {
      const [left, right] = [of(a), of(b)];
      if (empty(left) || empty(right)) return empty(left) - empty(right);
      if (typeof left === "string") return sign * left.localeCompare(right, "en", { numeric: true });
      return sign * (left - right);
    });
  }
  function show() {
    const rows = ordered();
    const shown = rows.slice(state.from, state.from + size);
    heads.forEach((cell, k) => cell.setAttribute("aria-sort", state.sort !== k ? "none" : state.falling ? "descending" : "ascending"));
    body.replaceChildren(...shown.map((row) => make(
      "tr", {}, columns.map((column) => make("td", { class: column.number ? "number" : column.wide && "wide" }, column.show ? column.show(row, open) : String(column.of(row) ?? "–"))),
    )));
    const end = Math.min(state.from + size, rows.length);
    told.textContent = rows.length ? `${(state.from + 1).toLocaleString("en")}–${end.toLocaleString("en")} of ${rows.length.toLocaleString("en")}` : "none";
    back.disabled = state.from === 0;
    on.disabled = end >= rows.length;
    pager.hidden = rows.length <= size && rows.length > 0;
  }
  element.set = (rows) => {
    state.rows = rows;
    state.from = 0;
    show();
  };
  element.ordered = ordered;
  return element;
}

// A table of texts as they come.
function plain(head, rows, caption = "") {
  return make(
    "div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption || head.join(", ") },
    make(
      "table", {},
      make("thead", {}, make("tr", {}, head.map((name, k) => make("th", { scope: "col", class: k && "number", text: name })))),
      make("tbody", {}, rows.map((row) => make("tr", {}, row.map((cell, k) => make("td", { class: k && "number", text: cell }))))),
    ),
  );
}
