// Whoever points at a plot is told of the save that is next to it, at the same place in all plots.
"use strict";
(function () {
  const saves = JSON.parse(document.getElementById("saves").textContent);
  if (saves.length === 0) return;
  const frames = document.querySelectorAll(".frame.time");
  const told = document.createElement("div");
  told.className = "told";
  const hairs = Array.from(frames, function (frame) {
    const hair = document.createElement("div");
    hair.className = "hair";
    hair.hidden = true;
    frame.append(hair);
    return hair;
  });
  told.hidden = true;
  document.body.append(told);
  function hide() {
    told.hidden = true;
    for (const hair of hairs) hair.hidden = true;
  }
  function show(event) {
    const box = event.currentTarget.getBoundingClientRect();
    const at = (100 * (event.clientX - box.left)) / box.width;
    const nearest = saves.reduce(function (best, save) {
      return Math.abs(best[0] - at) > Math.abs(save[0] - at) ? save : best;
    });
    told.textContent = nearest[1];
    told.hidden = false;
    for (const hair of hairs) {
      hair.hidden = false;
      hair.style.left = nearest[0] + "%";
    }
  }
  for (const frame of frames) {
    frame.addEventListener("pointermove", show);
    frame.addEventListener("pointerleave", hide);
  }
})();
