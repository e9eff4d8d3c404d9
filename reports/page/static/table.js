"use strict";
// The table of all rows: order, filters, which columns, and its text to copy. The address holds all choices.

BENCH.table = (() => {
  const { $, get, put, make } = BENCH;
  const table = $("table");
  const body = table.tBodies[0];
  const rows = [...body.rows].map((row, place) => ({ row, place, text: row.textContent.toLowerCase() }));
  const heads = [...table.tHead.rows[0].cells];
  const choices = ["dataset", "base", "verdict"].filter($);
  let facts = new Map();
  let shown = [];

  const cell = (row, column) => row.cells[column];
  const value = (row, column) => {
    const found = cell(row, column);
    if (!heads[column].dataset.section) return found.textContent.toLowerCase();
    // A row without numbers has one wide cell a section: it has nothing to sort by.
    return found && found.colSpan === 1 && "value" in found.dataset ? Number(found.dataset.value) : null;
  };

  const sort = () => {
    const column = heads.findIndex((head) => head.dataset.key === get("sort"));
    const sign = get("order") === "down" ? -1 : 1;
    const order = [...rows];
    if (column >= 0) {
      const keys = new Map(rows.map(({ row }) => [row, value(row, column)]));
      order.sort((one, other) => {
        const [a, b] = [keys.get(one.row), keys.get(other.row)];
        if (a === null || b === null) return (a === null) - (b === null) || one.place - other.place;
        return sign * (a < b ? -1 : a > b ? 1 : 0) || one.place - other.place;
      });
    }
    body.append(...order.map(({ row }) => row));
    heads.forEach((head, place) => {
      if (place === column) head.setAttribute("aria-sort", sign < 0 ? "descending" : "ascending");
      else head.removeAttribute("aria-sort");
    });
  };

  const filter = () => {
    const words = get("q").toLowerCase().split(/\s+/).filter(Boolean);
    shown = [];
    for (const { row, text } of rows) {
      const fact = facts.get(row.id.slice(2));
      const fits = words.every((word) => text.includes(word))
        && choices.every((id) => !get(id) || fact[id] === get(id))
        && !(get("fair") && fact.oracle);
      row.hidden = !fits;
      if (fits) shown.push(fact.id);
    }
    $("count").textContent = `${shown.length} of ${rows.length} rows`;
    $("none").hidden = shown.length > 0;
  };

  const draw = () => {
    for (const id of ["q", ...choices]) if ($(id).value !== get(id)) $(id).value = get(id);
    $("fair").checked = Boolean(get("fair"));
    $("columns").value = get("columns") || $("columns").options[0].value;
    table.dataset.columns = $("columns").value;
    sort();
    filter();
  };

  const press = (head) => {
    const numbers = Boolean(head.dataset.section);
    const first = numbers && !("lower" in head.dataset) ? "down" : "up";
    const key = head.dataset.key;
    if (get("sort") !== key) put({ sort: key, order: first });
    else if (get("order") === first) put({ order: first === "up" ? "down" : "up" });
    else put({ sort: "", order: "" });
    draw();
  };

  const copy = async (button) => {
    const texts = await BENCH.load("texts");
    const form = button.dataset.copy;
    let text;
    if (button.dataset.sheet) text = texts.sheets[button.dataset.sheet][form];
    else {
      const blocks = texts.blocks.filter((block) => block.rows.some((id) => shown.includes(id)));
      text = blocks.map((block) => block[form]).join(form === "csv" ? "" : "\n");
      if (form === "csv") text = texts.blocks[0].heading + text;
    }
    $("copied-text").value = text;
    $("copied").showModal();
    $("copied-text").select();
    let done = true;
    try { await navigator.clipboard.writeText(text); } catch { done = document.execCommand("copy"); }
    $("copied-title").textContent = done ? `Copied, ${button.textContent}` : "Copy it from here";
  };

  const start = async () => {
    facts = new Map((await BENCH.load("rows")).map((fact) => [fact.id, fact]));
    for (const head of heads) {
      const button = make("button", { type: "button" }, head.textContent);
      button.addEventListener("click", () => press(head));
      head.replaceChildren(button);
    }
    for (const id of ["q", "columns", ...choices]) {
      $(id).addEventListener("input", () => { put({ [id]: $(id).value }); BENCH.show(); });
    }
    $("fair").addEventListener("input", () => { put({ fair: $("fair").checked ? "1" : "" }); BENCH.show(); });
    $("filters").addEventListener("submit", (event) => event.preventDefault());
    for (const button of document.querySelectorAll("[data-copy]")) {
      button.addEventListener("click", () => copy(button).catch(BENCH.fail));
    }
  };

  return { start, draw, fact: (id) => facts.get(id), facts: () => shown.map((id) => facts.get(id)) };
})();
