// The panel at the right: which buttons are pressed, and a row for each target.

import { area } from "./masks.js";

const $ = (id) => document.getElementById(id);

// ``selected`` is the id of the selected target; ``pick`` is called with the id of a row that is clicked.
export function drawPanel({ state, tool }, selected, maskOf, pick) {
  const { targets = [], status, can_undo, can_redo } = state ?? {};
  $("undo").disabled = !can_undo;
  $("redo").disabled = !can_redo;
  for (const button of $("statuses").children) button.ariaPressed = button.dataset.status === status;
  for (const button of $("tools").children) button.ariaPressed = button.dataset.tool === tool;
  $("sky-row").hidden = tool !== "sky";
  $("brush-row").hidden = !["brush", "eraser"].includes(tool);
  $("count").textContent = targets.length || "";
  $("targets").replaceChildren(...targets.map((target) => {
    const row = document.createElement("tr");
    const level = target.level === null ? "" : target.level.toFixed(2);
    const cells = [target.id, `${target.x.toFixed(0)}, ${target.y.toFixed(0)}`, `${area(maskOf(target))} px`, level];
    row.append(...cells.map((text) => Object.assign(document.createElement("td"), { textContent: text })));
    row.ariaSelected = target.id === selected;
    row.classList.toggle("doubtful", target.doubtful);
    row.onclick = () => pick(target.id);
    return row;
  }));
}
