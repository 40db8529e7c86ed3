// The slider of temperatures: draws the diagram of the chosen one from numbers that stand in the page.
(() => {
  "use strict";
  // What is folded is printed too.
  const folded = () => document.querySelectorAll("details:not([open])");
  let opened = [];
  addEventListener("beforeprint", () => {
    opened = [...folded()];
    for (const item of opened) item.open = true;
  });
  addEventListener("afterprint", () => {
    for (const item of opened) item.open = false;
  });

  // A link to what is folded unfolds it.
  const unfold = () => {
    const target = location.hash && document.getElementById(location.hash.slice(1));
    const item = target && target.querySelector("details.subject");
    if (item) item.open = true;
  };
  addEventListener("hashchange", unfold);
  unfold();

  const percent = (share, digits) => `${(100 * share).toFixed(digits)}\u00a0%`.replace("-", "\u2212");
  const sum = (values) => values.reduce((total, value) => total + value, 0);

  for (const box of document.querySelectorAll(".sweep")) {
    const data = JSON.parse(box.querySelector("script").textContent);
    const slider = box.querySelector(".slider");
    const typed = box.querySelector(".typed");
    const nearest = box.querySelector(".nearest");
    const svg = box.querySelector("svg");
    const [bars, shares, lines] = ["bars", "shares", "lines"].map((name) => svg.querySelector(`.${name}`));
    const frame = svg.querySelector(".frame");
    const [left, top, width, height] = ["x", "y", "width", "height"].map((name) => Number(frame.getAttribute(name)));
    const low = svg.querySelector(".low");
    const [lowTop, lowHeight] = ["y", "height"].map((name) => Number(low.getAttribute(name)));

    const add = (group, kind, attributes) => {
      const element = document.createElementNS(svg.namespaceURI, kind);
      for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
      group.append(element);
    };
    const bar = (group, k, n, from, to, colour, floor, scale) => {
      if (to > from) {
        const [x, y] = [left + (k / n) * width, floor - to * scale];
        add(group, "rect", { x, y, width: width / n - 0.6, height: (to - from) * scale, fill: colour });
      }
    };

    const draw = () => {
      const i = Number(slider.value);
      const [weight, confidence, correct] = [data.weight[i], data.confidence[i], data.correct[i]];
      const n = weight.length;
      const most = Math.max(...weight);
      for (const group of [bars, shares, lines]) group.replaceChildren();
      weight.forEach((share, k) => {
        if (share === 0) return;
        const [sure, right] = [confidence[k] / share, correct[k] / share];
        bar(bars, k, n, 0, right, "#4878a8", top + height, height);
        bar(bars, k, n, right, sure, "#f0a8a0", top + height, height);
        bar(bars, k, n, sure, right, "#f2cc72", top + height, height);
        bar(shares, k, n, 0, share / most, "#b5bcc8", lowTop + lowHeight, lowHeight);
      });
      const [sure, right] = [sum(confidence), sum(correct)];
      for (const [value, stroke, dash] of [[right, "#4878a8", "none"], [sure, "#c8504a", "4 3"]]) {
        const x = left + value * width;
        const place = { x1: x, x2: x, y1: lowTop, y2: lowTop + lowHeight };
        add(lines, "line", { ...place, stroke, "stroke-width": 1.6, "stroke-dasharray": dash });
      }
      const gap = sure - right;
      const shown = {
        temperature: data.temperature[i].toString(),
        ece: percent(data.ece[i], 2),
        nll: data.nll[i].toFixed(4),
        confidence: percent(sure, 1),
        accuracy: percent(right, 1),
        gap: `${gap < 0 ? "\u2212" : "+"}${Math.abs(100 * gap).toFixed(1)} points`,
      };
      for (const [name, text] of Object.entries(shown)) box.querySelector(`[data-show=${name}]`).textContent = text;
      if (document.activeElement !== typed) typed.value = shown.temperature;
      nearest.hidden = Number(typed.value) === data.temperature[i];
      slider.setAttribute("aria-valuetext", `T = ${shown.temperature}, ECE ${shown.ece}`);
      svg.setAttribute("aria-label", `Reliability diagram at T = ${shown.temperature}: ECE ${shown.ece}, mean confidence ${shown.confidence}, accuracy ${shown.accuracy}.`);
    };

    slider.max = data.temperature.length - 1;
    for (const [i, label] of data.places) {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = `${label}, T = ${data.temperature[i]}`;
      button.addEventListener("click", () => {
        slider.value = i;
        typed.value = data.temperature[i];
        draw();
      });
      box.querySelector(".places").append(button);
      const tick = document.createElement("option");
      tick.value = i;
      box.querySelector("datalist").append(tick);
    }
    slider.value = data.start;
    slider.addEventListener("input", draw);
    typed.addEventListener("input", () => {
      const wanted = Number(typed.value);
      if (!(wanted > 0)) return;
      const far = data.temperature.map((t) => Math.abs(Math.log(t / wanted)));
      slider.value = far.indexOf(Math.min(...far));
      draw();
    });
    draw();
    box.hidden = false;
  }
})();
