"use strict";
// Plots that tell a mark's name and numbers where the pointer is. plotly is loaded when the first one is wanted.

BENCH.plots = (() => {
  const { $, get, put } = BENCH;
  // Okabe and Ito's colours, and shapes for those who see no colours.
  const COLOURS = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#8c7a00", "#808080"];
  const SHAPES = ["circle", "square", "diamond", "triangle-up", "cross", "x", "star", "triangle-down", "hexagon"];
  const SCALES = { linear: {}, log: { type: "log", dtick: 1 }, ratio: { type: "log" } };
  const NAME = 40; // characters of a name beside its mark
  const MANY = 3000; // marks; more are drawn as a density, which counts all of them

  // plotly reads some tags in its texts.
  const plain = (text) => String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
  const points = (value) => (value >= 0 ? "+" : "") + (100 * value).toFixed(1);

  const layout = (title, x, y, more = {}) => {
    const style = getComputedStyle(document.body);
    const line = getComputedStyle($("main")).borderTopColor; // as the browser has resolved it, for plotly knows no CSS
    const axis = { gridcolor: line, zerolinecolor: style.color, linecolor: line, automargin: true };
    return {
      title: { text: title, font: { size: 15 } },
      font: { color: style.color, family: style.fontFamily, size: 12 },
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      margin: { l: 50, r: 12, t: 40, b: 45 }, hovermode: "closest", showlegend: more.named ?? false,
      legend: { orientation: "h", y: -0.2, font: { size: 11 } },
      hoverlabel: { align: "left", namelength: -1 },
      xaxis: { ...axis, title: { text: x }, ...more.xaxis }, yaxis: { ...axis, title: { text: y }, ...more.yaxis },
      shapes: more.shapes ?? [],
    };
  };
  const draw = async (place, traces, shape, said, open) => {
    const Plotly = await BENCH.plotly();
    await Plotly.react(place, traces, shape, { displayModeBar: false, responsive: true });
    place.setAttribute("role", "img");
    place.setAttribute("aria-label", said);
    place.removeAllListeners("plotly_click");
    place.on("plotly_click", (event) => open(event.points[0].customdata));
  };

  const rows = async () => {
    const { before, after, change, plots } = BENCH.words;
    const facts = BENCH.table.facts().filter((fact) => fact.change);
    $("by").value = get("by") || "refiner";
    const names = [...new Set(facts.map((fact) => fact[$("by").value]))];
    const traces = (x) => names.map((name, place) => {
      const own = facts.filter((fact) => fact[$("by").value] === name && fact.x[x] !== null);
      const changes = own.map((fact) => fact.change);
      return {
        type: "scatter", mode: "markers", name: plain(name.length > NAME ? `${name.slice(0, NAME)}\u2026` : name), x: own.map((fact) => fact.x[x]),
        y: changes.map(({ mean }) => 100 * mean), customdata: own.map((fact) => fact.id), hoverinfo: "text",
        text: own.map((fact) => [
          `<b>${plain(fact.refiner)}</b>`, plain(fact.dataset), plain(fact.base),
          `${change} ${points(fact.change.mean)}` + (fact.change.low === null ? "" : ` [${points(fact.change.low)}, ${points(fact.change.high)}]`),
          `${before} ${(100 * fact.before).toFixed(2)}, ${after} ${(100 * fact.after).toFixed(2)}`,
          plain(fact.said),
        ].join("<br>")),
        marker: { size: 9, color: COLOURS[place % COLOURS.length], symbol: SHAPES[place % SHAPES.length], opacity: 0.85 },
        error_y: {
          type: "data", symmetric: false, thickness: 1, width: 0, color: COLOURS[place % COLOURS.length],
          array: changes.map(({ mean, high }) => 100 * ((high ?? mean) - mean)),
          arrayminus: changes.map(({ mean, low }) => 100 * (mean - (low ?? mean))),
        },
      };
    });
    const open = (id) => { put({ view: "", row: id }, true); BENCH.show(true); };
    const said = `${facts.length} rows; the table of results has their numbers`;
    const named = names.length > 1 && $("plots").clientWidth > 700; // a phone has no room: a touch names a mark
    for (const [x, { title, axis, scale }] of Object.entries(plots)) {
      await draw($(`plot-${x}`), traces(x), layout(title, axis, `${change} in mIoU, points`, { named, xaxis: SCALES[scale] }),
        `${title}: ${change} in mIoU over ${axis}, ${said}`, open);
    }
  };

  // Of one row: each image before and after.
  const images = async (measure, found, open) => {
    const { before, after } = BENCH.words;
    const both = found.filter((image) => image.before !== null && image.after !== null);
    $("plot-images").hidden = both.length === 0;
    if (!both.length) return;
    const [x, y] = [both.map((image) => image.before * measure.step), both.map((image) => image.after * measure.step)];
    const [low, high] = [x, y].flat().reduce(([a, b], value) => [Math.min(a, value), Math.max(b, value)], [Infinity, -Infinity]);
    const many = both.length > MANY;
    const trace = many
      ? { type: "histogram2d", x, y, nbinsx: 60, nbinsy: 60, showscale: false, zmin: 0,
          colorscale: [[0, "rgba(0, 114, 178, 0)"], [1, "rgba(0, 114, 178, 1)"]], // where no image is, none is drawn
          hovertemplate: `%{z} images<br>${before} %{x}<br>${after} %{y}<extra></extra>` }
      : { type: "scatter", mode: "markers", x, y, customdata: both.map((image) => image.id), hoverinfo: "text",
          text: both.map((image) => `<b>${plain(image.id)}</b><br>${before} ${(image.before * measure.step).toFixed(measure.digits)}<br>${after} ${(image.after * measure.step).toFixed(measure.digits)}`),
          marker: { size: 6, color: both.map((image) => (image.after >= image.before ? COLOURS[0] : COLOURS[5])),
            symbol: both.map((image) => (image.after >= image.before ? "circle" : "x-thin-open")), opacity: 0.8 } };
    const diagonal = { type: "line", x0: low, y0: low, x1: high, y1: high, line: { width: 1, dash: "dot", color: "#888" } };
    await draw($("plot-images"), [trace], layout(`${plain(measure.title)} of each image`, before, after, { shapes: [diagonal] }),
      `${measure.title} of ${both.length} images, ${before} against ${after}; the list has their numbers`, (id) => { if (id !== undefined) open(id); });
  };

  const start = () => $("by").addEventListener("input", () => { put({ by: $("by").value }); rows().catch(BENCH.fail); });
  return { start, rows, images };
})();
