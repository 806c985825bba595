const table = document.getElementById("classes");
const heads = [...[...table.tHead.rows].at(-1).cells];
const body = table.tBodies[0];

function sortBy(column) {
  const head = heads[column];
  const rising = head.getAttribute("aria-sort") === "descending" ||
    (head.getAttribute("aria-sort") === null && column < 2);
  heads.forEach((other) => other.removeAttribute("aria-sort"));
  head.setAttribute("aria-sort", rising ? "ascending" : "descending");
  const value = (row) => row.cells[column].dataset.value;
  const order = column === 1
    ? (a, b) => value(a).localeCompare(value(b))
    : (a, b) => value(a) - value(b);
  const rows = [...body.rows].sort((a, b) => (rising ? order(a, b) : order(b, a)));
  body.append(...rows);
}

heads.forEach((head, column) => head.querySelector("button")?.addEventListener("click", () => sortBy(column)));

document.getElementById("filter")?.addEventListener("input", (event) => {
  const wanted = event.target.value.toLowerCase();
  for (const row of body.rows) row.hidden = !row.cells[1].textContent.toLowerCase().includes(wanted);
});

// A picture fills the window while it is expanded.
const frames = [...document.querySelectorAll("figure button")];
const expand = (frame, yes) => frame.setAttribute("aria-expanded", yes);
frames.forEach((frame) => frame.addEventListener("click", () =>
  expand(frame, frame.getAttribute("aria-expanded") !== "true")));
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") frames.forEach((frame) => expand(frame, false));
});
