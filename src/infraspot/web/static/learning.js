// What the page learns from corrected targets: the check box switches it, a sentence says what came of it.

import * as api from "./api.js";

const $ = (id) => document.getElementById(id);

export class Learning {
  // Off if it is on, and on if it is off; a level that was asked for cannot learn.
  async toggle() {
    if (this.shown.fixed) return;
    try {
      this.show(await api.learn(!this.shown.on));
    } catch (error) {
      this.show(this.shown);
      throw error;
    }
  }

  show(shown) {
    this.shown = shown;
    const { on, fixed } = shown;
    Object.assign($("learning"), { checked: on && !fixed, disabled: fixed });
    $("learned").textContent = fixed ? "Masks have the level that was asked for by --level." : sentence(shown);
  }
}

// Levels lie between 0, the background, and 1, the peak: a higher one gives a tighter mask.
function sentence({ on, targets, level, auto }) {
  if (!targets) return "Grow or shrink masks, and the next ones of “profile” follow.";
  const from = `${targets} corrected target${targets === 1 ? "" : "s"}`;
  if (!on) return `${from}, not used: masks are as before.`;
  if (!level) return `Learned from ${from} of --level.`;
  const change = level < auto * 0.97 ? "wider" : level > auto * 1.03 ? "tighter" : "about as before";
  return `${from}: next masks ${change} (level ${level.toFixed(2)}, before ${auto.toFixed(2)}).`;
}
