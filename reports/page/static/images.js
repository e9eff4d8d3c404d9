"use strict";
// The images of one row: a list in any order, of which only the part that is seen is in the page.

BENCH.images = (() => {
  const { $, get, put, make } = BENCH;
  const HEIGHT = 36; // pixels of a line, as page.css has it
  const AROUND = 8; // lines beyond the edges
  const list = $("list");
  const body = list.querySelector("tbody");
  let row = null;
  let order = [];
  let drawn = new Map();

  const measure = () => row.measures.find(({ key }) => key === $("measure").value);
  const of = (place, key) => ({ before: row.before?.[key][place] ?? null, after: row.after?.[key][place] ?? null });
  const image = (place, key) => ({
    id: row.ids[place], picture: row.pictureOf.get(row.ids[place]),
    ...of(place, key), of: (other) => of(place, other),
  });

  const sorted = () => {
    const { key, better } = measure();
    const sign = better === "lower" ? -1 : 1;
    const words = $("image-q").value.toLowerCase();
    let found = row.ids.map((_, place) => image(place, key)).filter(({ before, after }) => before !== null || after !== null);
    found = found.filter(({ id, picture }) => id.toLowerCase().includes(words) && (picture || !$("kept").checked));
    const gain = ({ before, after }) => (before === null || after === null ? null : sign * (after - before));
    const value = ({ before, after }) => after ?? before;
    const by = {
      loss: gain, gain: (one) => (gain(one) === null ? null : -gain(one)),
      low: value, high: (one) => (value(one) === null ? null : -value(one)), id: () => 0,
    }[$("first").value];
    const keys = new Map(found.map((one) => [one, by(one)]));
    return found.sort((one, other) => {
      const [a, b] = [keys.get(one), keys.get(other)];
      if (a === null || b === null) return (a === null) - (b === null);
      return a - b || (one.id < other.id ? -1 : one.id > other.id ? 1 : 0);
    });
  };

  const line = (one, place) => {
    const name = make("a", { href: `#${new URLSearchParams({ row: row.id, image: one.id })}` }, make("bdi", {}, one.id));
    name.addEventListener("click", (event) => { event.preventDefault(); open(one.id, true); });
    const small = one.picture ? [make("img", { src: `pictures/${one.picture.image}`, alt: "", loading: "lazy", width: "44", height: "30" })] : [];
    const numbers = [BENCH.viewer.number(one.before, measure()), BENCH.viewer.number(one.after, measure()), BENCH.viewer.change(one, measure())];
    return make("tr", { "aria-rowindex": place + 2 }, make("th", { scope: "row" }, ...small, name), ...numbers.map((text) => make("td", {}, text)));
  };

  const space = (lines) => {
    const found = make("tr", { "aria-hidden": "true", class: "space" }, make("td", { colspan: "4" }));
    found.firstChild.style.height = `${lines * HEIGHT}px`;
    return found;
  };

  // Lines that stay are not made again: one of them may have the focus.
  const draw = () => {
    const first = Math.max(0, Math.floor(list.scrollTop / HEIGHT) - AROUND);
    const last = Math.min(order.length, Math.ceil((list.scrollTop + list.clientHeight) / HEIGHT) + AROUND);
    const lines = new Map();
    for (let place = first; place < last; place += 1) lines.set(place, drawn.get(place) ?? line(order[place], place));
    const focused = list.contains(document.activeElement) && document.activeElement !== list;
    for (const [place, found] of drawn) if (!lines.has(place)) found.remove();
    drawn = lines;
    const wanted = [space(first), ...lines.values(), space(order.length - last)];
    for (const old of body.querySelectorAll(".space")) old.remove();
    wanted.forEach((found, place) => { if (body.children[place] !== found) body.insertBefore(found, body.children[place] ?? null); });
    if (focused && !list.contains(document.activeElement)) list.focus();
  };

  const arrange = (plot = true) => {
    order = sorted();
    drawn = new Map();
    body.replaceChildren();
    list.querySelector("table").setAttribute("aria-rowcount", order.length + 1);
    list.scrollTop = 0;
    $("list-count").textContent = `${order.length} of ${row.ids.length} images`;
    draw();
    if (plot) BENCH.plots.images(measure(), order, (id) => open(id, true)).catch(BENCH.fail);
  };

  const gallery = () => {
    const key = row.measures[0].key;
    const cards = row.ids.map((_, place) => image(place, key)).filter(({ picture }) => picture);
    const gain = (one) => (one.before === null || one.after === null ? 0 : one.after - one.before);
    cards.sort((one, other) => gain(one) - gain(other));
    $("gallery").replaceChildren(...cards.slice(0, 24).map((one) => {
      const files = one.picture;
      const pictures = make("span", { class: "pair" },
        make("img", { src: `pictures/${files.image}`, alt: "", loading: "lazy" }),
        make("img", { src: `pictures/${files.after_errors ?? files.before_errors}`, alt: "", loading: "lazy", class: "layer" }));
      const button = make("button", { type: "button" }, pictures, make("bdi", { class: "id" }, one.id),
        make("span", {}, `${BENCH.viewer.change(one, row.measures[0])} (${files.why.join(", ")})`));
      button.addEventListener("click", () => open(one.id, true));
      return make("div", { role: "listitem" }, button);
    }));
    $("gallery").hidden = cards.length === 0;
  };

  // As bench.reports.page.values.packed has packed it.
  const unpack = (data) => {
    if (Array.isArray(data)) return data;
    const bytes = atob(data.codes);
    return Array.from({ length: bytes.length / 3 }, (_, place) => {
      const [one, two, three] = [0, 1, 2].map((part) => bytes.charCodeAt(3 * place + part));
      const code = one | (two << 8) | (three << 16);
      return code === 0xffffff ? null : data.low + code;
    });
  };
  const numbers = async (name) => {
    const data = await BENCH.load(name);
    return Object.fromEntries(Object.entries(data).map(([key, values]) => [key, unpack(values)]));
  };

  const load = async (id) => {
    const own = await BENCH.load(`row-${id}`);
    const [ids, after, before] = await Promise.all([BENCH.load(own.images), own.after && numbers(own.after), own.before && numbers(own.before)]);
    const fact = BENCH.table.fact(id);
    return { ...own, ids, after, before, id, refiner: fact.refiner, fact, pictureOf: new Map(own.pictures.map((one) => [one.id, one])) };
  };

  const show = async (id) => {
    if (row?.id !== id) {
      const found = await load(id);
      if (get("row") !== id) return; // another one was asked for meanwhile
      row = found;
      $("row-title").replaceChildren(make("bdi", {}, row.refiner));
      $("row-where").replaceChildren(make("bdi", {}, row.fact.dataset), " \u00b7 ", make("bdi", {}, row.fact.base));
      $("row-said").textContent = `${row.said}.`;
      $("row-notes").replaceChildren(...row.notes.map((text) => make("li", {}, text)));
      $("command").textContent = row.command;
      if (row.differing) {
        const lines = row.differing.map(([what, ...sides]) => make("tr", {}, make("th", { scope: "row" }, what),
          ...sides.map((text) => make("td", { class: "text" }, text))));
        $("row-differing").querySelector("tbody").replaceChildren(...lines);
        $("row-differing").hidden = lines.length === 0;
      }
      $("manifests").replaceChildren(...row.manifests.map((text) => make("pre", { tabindex: "0" }, text)));
      $("measure").replaceChildren(...row.measures.map(({ key, title }) => make("option", { value: key }, title)));
      const paired = Boolean(row.before && row.after);
      $("first").value = paired ? "loss" : "low";
      for (const value of ["loss", "gain"]) $("first").querySelector(`[value="${value}"]`).disabled = !paired;
      $("image-q").value = "";
      $("kept").checked = false;
      gallery();
    }
    arrange();
    $("back").href = `#${(() => { const state = new URLSearchParams(location.hash.slice(1)); state.delete("row"); state.delete("image"); return state; })()}`;
    if (get("image")) open(get("image"), false);
    else BENCH.viewer.hide();
  };

  const open = (id, enter) => {
    const place = row.ids.indexOf(id);
    if (place < 0) return BENCH.say("no such image in this row");
    put({ image: id }, enter);
    BENCH.viewer.open(image(place, row.measures[0].key), order.map((one) => one.id), row, () => put({ image: "" }));
  };

  const start = () => {
    list.addEventListener("scroll", draw, { passive: true });
    window.addEventListener("resize", () => { if (row && !$("row").hidden) draw(); });
    for (const id of ["measure", "first", "kept"]) $(id).addEventListener("input", () => arrange(id === "measure"));
    $("image-q").addEventListener("input", () => arrange(false));
    $("order").addEventListener("submit", (event) => event.preventDefault());
  };

  return { start, show, open };
})();
