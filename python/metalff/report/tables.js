// Tables that sort by a click on a heading and filter by the fields that name them; and hints where one goes on sideways.
"use strict";
const Tables = (() => {
  const value = (cell) => {
    const given = cell.dataset.value;
    if (given === undefined) return cell.textContent.trim().toLowerCase();
    return given === "" ? null : isNaN(given) ? given.toLowerCase() : Number(given);
  };
  const sort = (table, column, direction) => {
    const body = table.tBodies[0], rows = [...body.rows];
    rows.forEach((row, k) => (row._at = k));
    rows.sort((a, b) => {
      const [x, y] = [value(a.cells[column]), value(b.cells[column])];
      if (x === null || y === null) return (x === null) - (y === null) || a._at - b._at; // what is missing comes last, whichever way
      return direction * (x < y ? -1 : x > y ? 1 : 0) || a._at - b._at;
    });
    body.append(...rows);
    [...table.tHead.rows[0].cells].forEach((cell, k) => cell.setAttribute("aria-sort", k !== column ? "none" : direction > 0 ? "ascending" : "descending"));
    number(table);
  };
  const number = (table) => [...table.tBodies[0].rows].filter((row) => !row.hidden).forEach((row, k) => row.cells[0].classList.contains("rank") && (row.cells[0].textContent = k + 1));
  const again = (table) => {
    const column = [...table.tHead.rows[0].cells].findIndex((cell) => (cell.getAttribute("aria-sort") || "none") !== "none");
    if (column >= 0) sort(table, column, table.tHead.rows[0].cells[column].getAttribute("aria-sort") === "ascending" ? 1 : -1);
  };
  const filter = (table, fields, count) => {
    const wanted = fields.map((field) => [field.dataset.column, field.value.trim().toLowerCase().split(/[\s,;]+/).filter(Boolean), field.tagName === "SELECT" ? field.value.toLowerCase() : null]);
    let shown = 0;
    for (const row of table.tBodies[0].rows) {
      row.hidden = !wanted.every(([key, words, exact]) => {
        const text = (row.dataset[key] || "").toLowerCase();
        return exact !== null ? !exact || text === exact : !words.length || words.some((word) => text.split(" ").some((part) => part === word || (word.length > 2 && part.startsWith(word))));
      });
      shown += !row.hidden;
    }
    number(table);
    if (count) count.textContent = `${shown} of ${table.tBodies[0].rows.length} rows`;
  };
  const start = () => {
    for (const table of document.querySelectorAll("table.sortable")) {
      [...table.tHead.rows[0].cells].forEach((cell, column) => {
        if (cell.classList.contains("rank")) return;
        const button = document.createElement("button");
        button.type = "button";
        const small = cell.querySelector("small"), arrow = document.createElement("span");
        arrow.className = "arrow";
        button.append(...[...cell.childNodes].filter((node) => node !== small), arrow, ...(small ? [small] : []));
        cell.append(button);
        if (!cell.hasAttribute("aria-sort")) cell.setAttribute("aria-sort", "none");
        button.addEventListener("click", () => {
          const now = cell.getAttribute("aria-sort"), first = cell.dataset.first === "descending" ? -1 : 1;
          sort(table, column, now === "ascending" ? -1 : now === "descending" ? 1 : first);
        });
      });
      const box = document.querySelector(`[data-filters="${table.id}"]`);
      if (!box) continue;
      const fields = [...box.querySelectorAll("[data-column]")];
      for (const field of fields) field.addEventListener("input", () => filter(table, fields, box.querySelector("output")));
      filter(table, fields, box.querySelector("output"));
    }
    hint();
    addEventListener("resize", hint);
  };
  const hint = () => {
    for (const box of document.querySelectorAll(".scroll")) box.classList.toggle("goes-on", box.scrollWidth > box.clientWidth + 2);
  };
  return { start, sort, again, hint };
})();
