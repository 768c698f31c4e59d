// Adapting the model to what is marked: the button begins or stops it, and the list's answers tell how far it is.

import * as api from "./api.js";

const $ = (id) => document.getElementById(id);

export class Adapting {
  // `changed` is called when another model proposes.
  constructor(changed) {
    this.changed = changed;
    this.state = null;
    this.models = null;
  }

  // Begin, or stop what is at work.
  async toggle() {
    this.show(await api.adapt(this.state === "running" ? "stop" : "begin"));
  }

  show({ state, share, left, message, models }) {
    const running = state === "running";
    const time = left === null ? "" : `, about ${left < 90 ? `${left} s` : `${Math.round(left / 60)} min`} left`;
    $("adapt").textContent = running ? "Stop adapting" : "Adapt to my labels";
    $("adapting").hidden = !running;
    $("adapting").value = share;
    $("adapted").textContent = running ? `adapting: ${Math.round(100 * share)} %${time}` : message;
    $("adapted").hidden = !$("adapted").textContent;
    const another = this.models !== null && models !== this.models;
    Object.assign(this, { state, models });
    if (another) this.changed();
  }
}
