// The three parts of the book that a reader can touch (asap/report/replay.py, explorer.py): plain JavaScript on recorded data, nothing from a network.
(() => {
  const SVG = "http://www.w3.org/2000/svg";
  const data = (root) => JSON.parse(root.querySelector("script").textContent);
  const LEFT = 36, RIGHT = 470, TOP = 12, BOTTOM = 108; // of the small charts
  const at = (i, n) => LEFT + ((RIGHT - LEFT) * i) / Math.max(n - 1, 1);
  const line = (values, most) =>
    values.map((v, i) => `${i ? "L" : "M"}${at(i, values.length).toFixed(1)} ${(BOTTOM - ((BOTTOM - TOP) * v) / most).toFixed(1)}`).join("");

  function replay(root) {
    const runs = data(root);
    const arrows = [...root.querySelectorAll(".asap-cell")].map((svg) => [...svg.querySelectorAll("path")]);
    const [choice, slider, button, output] = ["select", "input", "button", ".controls output"].map((name) => root.querySelector(name));
    const cursor = root.querySelector(".cursor");
    let timer = null;
    const draw = () => {
      const run = runs[choice.value], epoch = Number(slider.value);
      arrows.forEach((paths, cell) =>
        paths.forEach((path, i) => {
          const phi = run.phi[cell][epoch][i];
          path.setAttribute("stroke-opacity", phi > 0 ? 0.25 + 0.75 * phi : 0);
          path.setAttribute("stroke-width", 0.8 + 1.8 * phi);
        }),
      );
      const x = at(epoch, run.captions.length);
      cursor.setAttribute("x1", x);
      cursor.setAttribute("x2", x);
      output.textContent = run.captions[epoch];
    };
    const load = () => {
      const run = runs[choice.value];
      slider.max = run.captions.length - 1;
      for (const name of ["accuracy", "entropy"]) root.querySelector(`path.${name}`).setAttribute("d", line(run[name], 1));
      draw();
    };
    const stop = () => {
      clearInterval(timer);
      timer = null;
      button.textContent = "▶";
      button.setAttribute("aria-label", "play");
    };
    button.addEventListener("click", () => {
      if (timer) return stop();
      if (slider.value === slider.max) slider.value = 0;
      button.textContent = "❚❚";
      button.setAttribute("aria-label", "pause");
      timer = setInterval(() => {
        draw();
        if (slider.value === slider.max) return stop();
        slider.value = Number(slider.value) + 1;
      }, 250);
    });
    slider.addEventListener("input", () => {
      stop();
      draw();
    });
    choice.addEventListener("change", () => {
      stop();
      load();
    });
    load();
  }

  // the same rule as tests/plain_whatif.py
  function prune(alpha, initial, decay, share, left) {
    const alive = alpha[0].map((edge) => edge.map(() => true));
    const course = [];
    let first = 0;
    alpha.forEach((now, i) => {
      const temperature = initial * decay ** (i + 1);
      alive.forEach((kept, edge) => {
        for (let again = temperature < 1; again; ) {
          const count = kept.filter(Boolean).length;
          const most = Math.max(...now[edge].filter((_, o) => kept[o]));
          const powers = now[edge].map((a, o) => (kept[o] ? Math.exp((a - most) / temperature) : 0));
          const sum = powers.reduce((a, b) => a + b, 0);
          const best = powers.indexOf(Math.max(...powers));
          const gone = powers.map((p, o) => kept[o] && o !== best && p / sum < share / (left ? count : kept.length));
          again = gone.some(Boolean);
          gone.forEach((g, o) => g && (kept[o] = false));
        }
      });
      course.push(alive.flat().filter(Boolean).length);
      if (!first && course.at(-1) < alive.flat().length) first = i + 1;
    });
    return { course, first, undecided: alive.filter((kept) => kept.filter(Boolean).length > 1).length };
  }

  function whatif(root) {
    const recorded = data(root);
    const given = (name) => root.querySelector(`[name=${name}]`);
    const all = recorded.alpha[0].flat().length;
    root.querySelector(".recorded").setAttribute("d", line(recorded.recorded, all));
    const draw = () => {
      const [initial, decay, share] = ["initial", "decay", "share"].map((name) => Number(given(name).value));
      for (const name of ["initial", "decay", "share"]) given(name).nextElementSibling.textContent = given(name).value;
      const found = prune(recorded.alpha, initial, decay, share, given("left").value === "left");
      root.querySelector(".accuracy").setAttribute("d", line(found.course, all));
      root.querySelector(".answer").textContent =
        `${found.undecided} of ${recorded.alpha[0].length} edges would stay undecided (recorded: ${recorded.undecided}); ` +
        (found.first ? `the first pruning would come in epoch ${found.first}; ` : "nothing would be pruned; ") +
        `T would end at ${(initial * decay ** recorded.alpha.length).toFixed(3)}.`;
    };
    root.addEventListener("input", draw);
    draw();
  }

  // a cell's drawing, with the geometry of asap/report/cells.py
  const STEP = 84, MARGIN = 30, RADIUS = 15;
  function cell(edges, colours, title) {
    const seen = {}, between = {};
    for (const [, s, t] of edges) between[`${s},${t}`] = (between[`${s},${t}`] ?? 0) + 1;
    const arcs = edges.map(([operation, s, t]) => {
      const place = (seen[`${s},${t}`] = (seen[`${s},${t}`] ?? -1) + 1), of = between[`${s},${t}`];
      const height = (20 + 14 * (t - s)) * (of > 1 ? 0.62 + (0.78 * place) / (of - 1) : 1);
      return { operation, s, t, x: MARGIN + (STEP * (s + t)) / 2, y: s % 2 ? height : -height };
    });
    const last = Math.max(...arcs.map((a) => a.t));
    const top = Math.min(-RADIUS, ...arcs.map((a) => a.y)) - 20, bottom = Math.max(RADIUS, ...arcs.map((a) => a.y)) + 20;
    const svg = document.createElementNS(SVG, "svg");
    svg.setAttribute("viewBox", `0 ${top - 18} ${2 * MARGIN + STEP * last} ${bottom - top + 18}`);
    svg.setAttribute("class", "asap-cell");
    const add = (name, attributes, text) => {
      const element = svg.appendChild(document.createElementNS(SVG, name));
      for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
      if (text) element.textContent = text;
    };
    add("text", { x: 2, y: top - 4 }, title);
    for (const { operation, s, t, x, y } of arcs) {
      const share = RADIUS / (STEP * (t - s)), point = (u) => `${MARGIN + STEP * (s + u * (t - s))} ${4 * u * (1 - u) * y}`;
      const d = `M${point(share)}Q${x} ${y * (2 - 4 * share * (1 - share))} ${point(1 - share)}`;
      add("path", { d, fill: "none", stroke: colours[operation] ?? "#8a8a8a", "stroke-width": 2.6 });
    }
    for (const { operation, x, y } of arcs) add("text", { x, y: y + (y > 0 ? 13 : -5), class: "label" }, operation.replaceAll("_", " "));
    for (let node = 0; node <= last; node++) {
      const x = MARGIN + STEP * node;
      add("circle", { cx: x, cy: 0, r: RADIUS, class: node < 2 ? "input" : "node" });
      add("text", { x, y: 4.5, class: "name" }, ["cₖ₋₂", "cₖ₋₁"][node] ?? String(node - 1));
    }
    return svg;
  }

  function explorer(root) {
    const { views, cells, colours } = data(root);
    const chart = root.querySelector(".points"), choice = root.querySelector("select"), group = chart.querySelector("g");
    let chosen = -1, points = [];
    const show = (i) => {
      chosen = (i + points.length) % points.length;
      points.forEach((point, j) => point.classList.toggle("chosen", j === chosen));
      const [name, , , , , said] = views[choice.value].points[chosen];
      root.querySelector(".answer").textContent = said;
      const drawn = ["normal cell", "reduction cell"].map((title, kind) => cell(cells[name][kind], colours, title));
      root.querySelector(".asap-cells").replaceChildren(...drawn);
    };
    const load = () => {
      const view = views[choice.value];
      chart.querySelectorAll("tspan").forEach((text, i) => (text.textContent = view.texts[i]));
      points = view.points.map(([, cx, cy, fill, kind], i) => {
        const point = document.createElementNS(SVG, "circle");
        for (const [key, value] of Object.entries({ cx, cy, r: view.points.length > 99 ? 4 : 6, fill, class: kind })) point.setAttribute(key, value);
        for (const name of ["pointerenter", "click"]) point.addEventListener(name, () => show(i));
        return point;
      });
      group.replaceChildren(...points);
      chosen = -1;
    };
    chart.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1 }[event.key];
      if (!step) return;
      event.preventDefault();
      show(chosen < 0 && step < 0 ? points.length - 1 : chosen + step);
    });
    choice.addEventListener("change", load);
    load();
  }

  document.addEventListener("DOMContentLoaded", () => {
    for (const [name, part] of Object.entries({ replay, whatif, explorer })) {
      for (const root of document.querySelectorAll(`.asap-${name}`)) part(root);
    }
  });
})();
