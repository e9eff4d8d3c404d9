"use strict";
// Which part is to be seen, and in which colours; then all of it starts.

(async () => {
  const { $, get } = BENCH;
  const views = ["results", "plots", "statistics", "about", "row"];

  BENCH.show = (moved = false) => {
    const view = get("row") && BENCH.table.fact(get("row")) ? "row" : views.includes(get("view")) ? get("view") : "results";
    const before = views.find((name) => !$(name).hidden);
    for (const name of views) $(name).hidden = name !== view;
    $("columns-label").hidden = view !== "results";
    $("filters").hidden = view !== "results" && view !== "plots";
    for (const link of document.querySelectorAll("nav [data-view]")) {
      // A link keeps the filter and leaves the row.
      const state = new URLSearchParams(location.hash.slice(1));
      for (const key of ["row", "image", "view"]) state.delete(key);
      if (link.dataset.view !== "results") state.set("view", link.dataset.view);
      link.href = `#${state}`;
      if (link.dataset.view === view) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
    for (const link of document.querySelectorAll("#table a")) {
      const state = new URLSearchParams(location.hash.slice(1));
      for (const key of ["image", "view"]) state.delete(key);
      state.set("row", link.closest("tr").id.slice(2));
      link.href = `#${state}`;
    }
    BENCH.table.draw();
    if (view === "plots") BENCH.plots.rows().catch(BENCH.fail);
    if (view === "row") BENCH.images.show(get("row")).catch(BENCH.fail);
    else BENCH.viewer.hide();
    if (moved && before !== view) {
      window.scrollTo(0, 0);
      $(`${view}-title`).focus({ preventScroll: true });
    }
  };

  const theme = (value) => {
    if (value) document.documentElement.dataset.theme = value;
    else delete document.documentElement.dataset.theme;
    $("theme").value = value;
  };
  // A browser may keep nothing for pages from a disk.
  try { theme(localStorage.getItem("bench-theme") ?? ""); } catch { theme(""); }
  $("theme").addEventListener("input", () => {
    theme($("theme").value);
    try { localStorage.setItem("bench-theme", $("theme").value); } catch { /* it holds for this visit */ }
    BENCH.show();
  });

  BENCH.words = await BENCH.load("words");
  await BENCH.table.start();
  BENCH.plots.start();
  BENCH.viewer.start();
  BENCH.images.start();
  window.addEventListener("popstate", () => BENCH.show(true));
  BENCH.show();
  document.documentElement.dataset.ready = "yes";
})().catch(BENCH.fail);
