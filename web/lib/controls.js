/** The controls of a player for how it plays: loop, speed, volume. All players share speed and volume. */

import { button, element, icon } from "./dom.js";
import { prefer, preferences, SPEEDS } from "./preferences.js";
import { t } from "./words.js";

export class Controls {
  /** onLoop: called with whether to repeat. */
  constructor(onLoop) {
    this.loop = button("loop", t("loop"), () => {
      const loop = this.loop.getAttribute("aria-pressed") !== "true";
      this.loop.setAttribute("aria-pressed", loop);
      onLoop(loop);
    });
    this.loop.setAttribute("aria-pressed", false);
    this.mute = button("volume", t("mute"), () => prefer({ muted: !preferences().muted }));
    this.volume = slider();
    this.speed = choice();
    this.update();
  }

  /** Show the preferences as they are now. */
  update() {
    const { volume, muted, speed } = preferences();
    const silent = muted || volume === 0;
    this.speed.value = speed;
    this.volume.value = silent ? 0 : volume;
    this.volume.setAttribute("aria-valuetext", `${Math.round(silent ? 0 : volume * 100)} %`);
    if (this.mute.getAttribute("aria-pressed") === String(muted) && this.mute.dataset.silent === String(silent)) return;
    this.mute.setAttribute("aria-pressed", muted);
    this.mute.dataset.silent = silent;
    this.mute.replaceChildren(icon(silent ? "muted" : "volume"));
  }
}

function slider() {
  const label = { "aria-label": t("volume"), title: t("volume") };
  const input = element("input", { type: "range", class: "acestep-volume", min: 0, max: 1, step: 0.05, ...label });
  input.addEventListener("input", () => prefer({ volume: Number(input.value), muted: false }));
  return input;
}

function choice() {
  const options = SPEEDS.map((speed) => element("option", { value: speed }, `${speed}×`));
  const select = element("select", { class: "acestep-speed", "aria-label": t("speed"), title: t("speed") }, ...options);
  select.addEventListener("change", () => prefer({ speed: Number(select.value) }));
  return select;
}
