// The slider and the button of asap/animation.py's element: sets every arrow's look from Φ of the chosen epoch.
document.addEventListener("DOMContentLoaded", () => {
  for (const root of document.querySelectorAll(".asap-animation")) {
    const data = JSON.parse(root.querySelector("script").textContent);
    const arrows = [...root.querySelectorAll("svg")].map((svg) => [...svg.querySelectorAll("path")]);
    const [slider, button, output] = ["input", "button", "output"].map((name) => root.querySelector(name));
    let timer = null;
    const draw = () => {
      const epoch = Number(slider.value);
      arrows.forEach((paths, cell) =>
        paths.forEach((path, i) => {
          const phi = data.phi[cell][epoch][i];
          path.setAttribute("stroke-opacity", phi > 0 ? 0.2 + 0.8 * phi : 0);
          path.setAttribute("stroke-width", 0.8 + 2.4 * phi);
        }),
      );
      output.textContent = data.captions[epoch];
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
    draw();
  }
});
