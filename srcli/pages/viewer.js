"use strict";
// Two versions of a picture on one canvas, parted by a line that can be moved, or beside each other, always at the same place.
(() => {
  const MOST = 32; // device px for a px of the picture
  const GAP = 6; // device px between versions beside each other
  const SMOOTH = 2; // below so many, px are interpolated; from there on they are shown as squares

  const viewer = document.querySelector(".viewer");
  const find = (selector) => viewer.querySelector(selector);
  const stage = find(".stage"), canvas = find("canvas"), line = find(".line"), context = canvas.getContext("2d");
  const images = [...viewer.querySelectorAll("img")];
  const names = images.map((image) => image.dataset.name);
  const [wide, high] = [images[0].width, images[0].height];

  const chosen = { left: Number(find("#left").value), right: Number(find("#right").value) };
  let split = 0.5; // where the line is, of the stage's width
  let beside = false;
  let fitted = true; // the whole picture is shown, whatever size the stage takes
  const view = { x: wide / 2, y: high / 2, zoom: 1 }; // the px in the middle, and device px for a px

  const between = (value, least, most) => Math.min(Math.max(value, least), most);
  const ratio = () => window.devicePixelRatio || 1;

  /** The parts of the canvas that the versions are laid out in, in device px: both the whole, or one half each. */
  function panes() {
    const { width, height } = canvas;
    if (!beside) return [0, 1].map(() => ({ x: 0, y: 0, width, height }));
    if (height > width) return [0, 1].map((i) => ({ x: 0, y: (i * (height + GAP)) / 2, width, height: (height - GAP) / 2 }));
    return [0, 1].map((i) => ({ x: (i * (width + GAP)) / 2, y: 0, width: (width - GAP) / 2, height }));
  }

  const fit = () => Math.min(panes()[0].width / wide, panes()[0].height / high);

  function draw() {
    const [left, right] = panes();
    if (fitted) view.zoom = fit();
    view.zoom = between(view.zoom, Math.min(fit(), 1), Math.max(MOST, fit()));
    for (const [axis, size, room] of [["x", wide, left.width], ["y", high, left.height]]) {
      const half = room / 2 / view.zoom;
      view[axis] = half * 2 >= size ? size / 2 : between(view[axis], half, size - half);
    }
    context.clearRect(0, 0, canvas.width, canvas.height);
    const edge = Math.round(split * canvas.width);
    paint(chosen.left, left, beside ? left : { ...left, width: edge });
    paint(chosen.right, right, beside ? right : { ...right, x: edge, width: canvas.width - edge });
    tell();
  }

  /** Draw one version, as far as `clip` shows it. */
  function paint(index, pane, clip) {
    context.save();
    context.beginPath();
    context.rect(clip.x, clip.y, clip.width, clip.height);
    context.clip();
    context.imageSmoothingEnabled = view.zoom < SMOOTH;
    context.imageSmoothingQuality = "high";
    const x = Math.round(pane.x + pane.width / 2 - view.x * view.zoom);
    const y = Math.round(pane.y + pane.height / 2 - view.y * view.zoom);
    context.drawImage(images[index], x, y, wide * view.zoom, high * view.zoom);
    context.restore();
  }

  /** Bring everything but the canvas up to date. */
  function tell() {
    const [left, right] = [names[chosen.left], names[chosen.right]];
    const share = Math.round(split * 100);
    find("#left").value = chosen.left;
    find("#right").value = chosen.right;
    line.hidden = beside;
    line.style.left = `${split * 100}%`;
    line.setAttribute("aria-valuenow", share);
    line.setAttribute("aria-valuetext", `${left} ${share} %, ${right} ${100 - share} %`);
    for (const [side, hidden] of [["left", split < 0.02], ["right", split > 0.98]]) {
      find(`.name.${side}`).textContent = names[chosen[side]];
      find(`.name.${side}`).hidden = !beside && hidden;
    }
    find("#beside").setAttribute("aria-pressed", beside);
    stage.classList.toggle("whole", view.zoom <= fit() * 1.001);
    stage.classList.toggle("beside", beside);
    stage.classList.toggle("tall", canvas.height > canvas.width);
    const percent = `${Math.round(view.zoom * 100)}\u00a0%`;
    const [here, there] = stage.matches(".beside.tall") ? ["above", "below"] : ["left", "right"];
    find(".zoom").textContent = percent;
    find(".status").textContent = `${left} ${here}, ${right} ${there}, ${percent}`;
  }

  const whole = () => stage.classList.contains("whole");

  function zoomBy(factor, point) {
    const pane = panes()[0];
    // beside each other, a place of either pane stands for the same px
    const dx = point ? (point.x % (pane.width + GAP)) - pane.width / 2 : 0;
    const dy = point ? (point.y % (pane.height + GAP)) - pane.height / 2 : 0;
    const zoom = between(view.zoom * factor, Math.min(fit(), 1), Math.max(MOST, fit()));
    view.x += dx / view.zoom - dx / zoom;
    view.y += dy / view.zoom - dy / zoom;
    view.zoom = zoom;
    fitted = false;
    draw();
  }

  function pan(dx, dy) { // in device px
    view.x -= dx / view.zoom;
    view.y -= dy / view.zoom;
    draw();
  }

  function moveLine(to) {
    split = between(to, 0, 1);
    draw();
  }

  function swap() {
    [chosen.left, chosen.right] = [chosen.right, chosen.left];
    draw();
  }

  function choose(side, index) {
    if (index < images.length) chosen[side] = index;
    draw();
  }

  function showAll() {
    fitted = true;
    draw();
  }

  function showBox([x, y, width, height]) {
    const pane = panes()[0];
    view.zoom = 0.75 * Math.min(pane.width / width, pane.height / height);
    if (view.zoom >= SMOOTH) view.zoom = Math.floor(view.zoom); // whole px are even
    view.x = x + width / 2;
    view.y = y + height / 2;
    fitted = false;
    draw();
    stage.scrollIntoView({ block: "center" });
    stage.focus({ preventScroll: true });
  }

  // the mouse, fingers and pens

  const pointers = new Map();
  let dragged = "";

  function place(event) {
    const box = canvas.getBoundingClientRect();
    return { x: (event.clientX - box.left) * ratio(), y: (event.clientY - box.top) * ratio() };
  }

  stage.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    stage.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, place(event));
    dragged = !beside && (event.target === line || whole()) ? "line" : "picture";
    stage.classList.toggle("moving", dragged === "picture");
    if (event.target === line || dragged === "picture") return;
    if (event.pointerType === "mouse") moveLine(place(event).x / canvas.width);
  });

  stage.addEventListener("pointermove", (event) => {
    const before = pointers.get(event.pointerId);
    if (!before) return;
    const now = place(event);
    const [other] = [...pointers].filter(([id]) => id !== event.pointerId).map(([, point]) => point);
    pointers.set(event.pointerId, now);
    if (other) {
      const apart = (point) => Math.hypot(point.x - other.x, point.y - other.y) || 1;
      zoomBy(apart(now) / apart(before), { x: (before.x + other.x) / 2, y: (before.y + other.y) / 2 });
      pan((now.x - before.x) / 2, (now.y - before.y) / 2);
    } else if (dragged === "line") {
      moveLine(split + (now.x - before.x) / canvas.width);
    } else {
      pan(now.x - before.x, now.y - before.y);
    }
  });

  for (const end of ["pointerup", "pointercancel"]) {
    stage.addEventListener(end, (event) => {
      pointers.delete(event.pointerId);
      stage.classList.remove("moving");
    });
  }

  stage.addEventListener("wheel", (event) => {
    event.preventDefault();
    const lines = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? 16 : 1;
    zoomBy(Math.exp(-event.deltaY * lines * (event.ctrlKey ? 0.01 : 0.002)), place(event));
  }, { passive: false });

  stage.addEventListener("dblclick", (event) => {
    if (event.target !== line) whole() ? zoomBy(Math.max(1, 2 * fit()) / view.zoom, place(event)) : showAll();
  });

  // the keyboard

  document.addEventListener("keydown", (event) => {
    const inside = event.target === stage || event.target === line;
    if (event.ctrlKey || event.metaKey || event.altKey || !(inside || event.target === document.body)) return;
    if (press(event, inside)) event.preventDefault();
  });

  /** Do what a key stands for, and say whether it stands for something. */
  function press(event, inside) {
    const digit = /^(?:Digit|Numpad)([1-9])$/.exec(event.code);
    if (digit) {
      choose(event.shiftKey ? "right" : "left", digit[1] - 1);
      return true;
    }
    const step = Math.min(canvas.width, canvas.height) / 8;
    const sliding = event.target === line || whole();
    const inStage = {
      ArrowLeft: () => (sliding ? moveLine(split - 0.02) : pan(step, 0)),
      ArrowRight: () => (sliding ? moveLine(split + 0.02) : pan(-step, 0)),
      ArrowUp: () => (event.target === line ? moveLine(split + 0.02) : pan(0, step)),
      ArrowDown: () => (event.target === line ? moveLine(split - 0.02) : pan(0, -step)),
      PageUp: () => moveLine(split + 0.1),
      PageDown: () => moveLine(split - 0.1),
      Home: () => moveLine(0),
      End: () => moveLine(1),
    };
    const anywhere = {
      "+": () => zoomBy(Math.SQRT2),
      "=": () => zoomBy(Math.SQRT2),
      "-": () => zoomBy(Math.SQRT1_2),
      "0": showAll,
      " ": swap,
      b: besideOrNot,
    };
    const act = anywhere[event.key] || (inside && inStage[event.key]);
    if (act) act();
    return Boolean(act);
  }

  // the bar and the crops

  function besideOrNot() {
    beside = !beside;
    draw();
  }

  function onClick(selector, act) {
    find(selector).addEventListener("click", act);
  }

  onClick("#swap", swap);
  onClick("#beside", besideOrNot);
  onClick("#closer", () => zoomBy(Math.SQRT2));
  onClick("#farther", () => zoomBy(Math.SQRT1_2));
  onClick("#all", showAll);
  onClick("#exact", () => zoomBy(1 / view.zoom));
  for (const side of ["left", "right"]) {
    find(`#${side}`).addEventListener("change", (event) => choose(side, Number(event.target.value)));
  }

  document.querySelectorAll("button.go").forEach((button, i) => {
    const box = button.dataset.box.split(",").map(Number);
    button.addEventListener("click", () => showBox(box));
    document.querySelectorAll(".overview .over")[i].addEventListener("click", () => showBox(box));
    for (const crop of button.closest(".look").querySelectorAll(".crop")) {
      crop.querySelector("img").addEventListener("click", () => {
        const index = names.indexOf(crop.querySelector("b").textContent);
        if (index >= 0) chosen.right = index;
        showBox(box);
      });
    }
  });

  new ResizeObserver(() => {
    canvas.width = Math.round(stage.clientWidth * ratio());
    canvas.height = Math.round(stage.clientHeight * ratio());
    draw();
  }).observe(stage);
  images.forEach((image) => image.decode().then(draw));
})();
