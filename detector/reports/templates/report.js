function makeSortable(table) {
  const heads = [...[...table.tHead.rows].at(-1).cells];
  const body = table.tBodies[0];

  function sortBy(column) {
    const head = heads[column];
    const rising = head.getAttribute("aria-sort") === "descending" ||
      (head.getAttribute("aria-sort") === null && column < 2);
    heads.forEach((other) => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", rising ? "ascending" : "descending");
    const value = (row) => row.cells[column].dataset.value;
    const number = (row) => (value(row) === "" ? -Infinity : Number(value(row)));
    const order = column === 1
      ? (a, b) => value(a).localeCompare(value(b))
      : (a, b) => number(a) - number(b) || 0;
    const rows = [...body.rows].sort((a, b) => (rising ? order(a, b) : order(b, a)));
    body.append(...rows);
  }

  heads.forEach((head, column) => head.querySelector("button")?.addEventListener("click", () => sortBy(column)));

  table.closest("section").querySelector('input[type="search"]')?.addEventListener("input", (event) => {
    const wanted = event.target.value.toLowerCase();
    for (const row of body.rows) row.hidden = !row.cells[1].textContent.toLowerCase().includes(wanted);
  });
}

document.querySelectorAll("#classes, .sortable").forEach(makeSortable);

// A picture fills the window while it is expanded.
const frames = [...document.querySelectorAll("figure button")];
const expand = (frame, yes) => frame.setAttribute("aria-expanded", yes);
frames.forEach((frame) => frame.addEventListener("click", () =>
  expand(frame, frame.getAttribute("aria-expanded") !== "true")));
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") frames.forEach((frame) => expand(frame, false));
});

// The line under the matrix of many classes tells the entry that is pointed at.
const matrix = document.getElementById("confusion");
if (matrix) {
  const { names, entries } = JSON.parse(document.getElementById("confusion-data").textContent);
  const line = document.getElementById("confusion-text");
  const size = names.length + 1;
  const counts = new Map(entries.map(([row, column, count]) => [row * size + column, count]));
  const explanation = line.textContent;
  matrix.addEventListener("pointermove", (event) => {
    const { left, top, width, height } = matrix.getBoundingClientRect();
    const at = (share) => Math.min(size - 1, Math.max(0, Math.floor(share * size)));
    const row = at((event.clientY - top) / height);
    const column = at((event.clientX - left) / width);
    const object = names[row] ?? "no object";
    const found = column < names.length ? `detected as ${names[column]}` : "missed";
    line.textContent = `${object}, ${found}: ${counts.get(row * size + column) ?? 0}`;
  });
  matrix.addEventListener("pointerleave", () => { line.textContent = explanation; });
}
