// Drawing a box on the picture, by pointer and by keys. A finger scrolls the page unless drawing is switched on.
const explainInput = (picture, { drawn, isDrawing, setDrawn, addDrawn, chooseAt }) => {
  const { canvas, width, height } = picture;
  const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  const LEAST = 2; // pixels of a side
  const PACE = Math.max(width, height) / 100; // of an arrow
  let start = null;

  const between = ([x1, y1], [x2, y2]) => [Math.min(x1, x2), Math.min(y1, y2), Math.max(x1, x2), Math.max(y1, y2)];
  const isBox = ([x1, y1, x2, y2]) => x2 - x1 > LEAST && y2 - y1 > LEAST;
  const isWithin = ([x1, y1, x2, y2]) => x1 >= 0 && y1 >= 0 && x2 <= width && y2 <= height;
  const isScrolling = (event) => event.pointerType === "touch" && !isDrawing();

  canvas.addEventListener("pointerdown", (event) => {
    if (event.button || isScrolling(event)) return;
    start = picture.point(event);
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointermove", (event) => {
    const box = start && between(start, picture.point(event));
    if (box && isBox(box)) setDrawn(box);
  });
  canvas.addEventListener("pointerup", (event) => {
    if (start && !isBox(between(start, picture.point(event)))) chooseAt(start);
    start = null;
  });
  canvas.addEventListener("pointercancel", () => { start = null; });
  canvas.addEventListener("click", (event) => {
    if (isScrolling(event)) chooseAt(picture.point(event));
  });

  canvas.addEventListener("keydown", (event) => {
    const move = ARROWS[event.key], now = drawn();
    if (event.key === "Enter" && now) addDrawn();
    else if (event.key === "Enter") setDrawn([0.375 * width, 0.375 * height, 0.625 * width, 0.625 * height]);
    else if (event.key === "Escape") setDrawn(null);
    else if (move && now) {
      const [x, y] = move.map((each) => each * PACE), [x1, y1, x2, y2] = now;
      const box = event.shiftKey ? [x1, y1, x2 + x, y2 + y] : [x1 + x, y1 + y, x2 + x, y2 + y];
      if (isBox(box) && isWithin(box)) setDrawn(box);
    } else return;
    event.preventDefault();
  });
};
