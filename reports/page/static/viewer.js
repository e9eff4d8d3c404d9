"use strict";
// One image: before and after side by side in one frame, where the masks are wrong, the map itself, its numbers.

BENCH.viewer = (() => {
  const { $, make } = BENCH;
  const FILTERS = { grey: "none", colour: "url(#as-colour)", mask: "url(#as-mask)" };
  const ALONE = ["image", "truth"];
  let shown = null;
  let order = [];
  let left = () => {};

  const mode = () => document.querySelector('input[name="mode"]:checked').value;
  const number = (value, measure) => {
    if (value === null || value === undefined) return "n/a";
    const text = (value * measure.step).toFixed(measure.digits);
    return value > 0 && Number(text) === 0 ? `<${(10 ** -measure.digits).toFixed(measure.digits)}` : text;
  };
  const change = (image, measure) => {
    if (image.before === null || image.after === null) return "n/a";
    const text = ((image.after - image.before) * measure.step).toFixed(measure.digits);
    return Number(text) === 0 ? (0).toFixed(measure.digits) : Number(text) > 0 ? `+${text}` : text;
  };

  const layer = (name, kind, text) => make("img", { src: `pictures/${name}`, alt: text, class: kind, draggable: "false" });
  const said = { errors: "errors", grey: "map", colour: "map", mask: "mask" };

  const paint = () => {
    const files = shown.picture;
    $("pictures").hidden = !files;
    if (!files) return;
    const alone = ALONE.includes(mode());
    const under = layer(alone ? files[mode()] : files.image, "under", alone ? `${mode()} of ${shown.id}` : `image ${shown.id}`);
    const over = alone ? [] : ["before", "after"].filter((side) => files[side]).map((side) => {
      const half = layer(mode() === "errors" ? files[`${side}_errors`] : files[side], side, `${said[mode()]}, ${BENCH.words[side]}`);
      half.style.filter = FILTERS[mode()] ?? "none";
      return half;
    });
    const both = over.length === 2;
    const bar = both ? [make("div", { class: "divider", "aria-hidden": "true" })] : [];
    under.addEventListener("load", () => {
      $("frame").style.setProperty("--fit", `min(100%, ${(60 * under.naturalWidth) / under.naturalHeight}vh)`);
    });
    $("frame").replaceChildren(under, ...over, ...bar);
    $("key").hidden = mode() !== "errors";
    $("frame").classList.toggle("both", both);
    $("slider").disabled = !both;
    slide();
  };
  const slide = () => {
    const at = Number($("slider").value);
    $("frame").style.setProperty("--at", `${at}%`);
    $("slider").setAttribute("aria-valuetext", `${at} % ${BENCH.words.before}, ${100 - at} % ${BENCH.words.after}`);
  };

  const open = (image, ids, row, close) => {
    shown = image;
    order = ids;
    left = close;
    $("viewer-title").replaceChildren(make("bdi", {}, image.id));
    const parts = image.picture
      ? [`chosen as ${image.picture.why.join(", ")}`, image.picture.lacks ? `${image.picture.lacks} kept no picture of it` : "", row.seeds.length > 1 ? `pictures of seed ${image.picture.seed}, numbers averaged over seeds ${row.seeds.join(", ")}` : ""]
      : ["no pictures of this image were kept: bench run --keep-maps keeps them"];
    $("viewer-said").textContent = `${row.refiner}: ${parts.filter(Boolean).join("; ")}.`;
    const lines = row.measures.map((measure) => {
      const own = image.of(measure.key);
      const cells = [number(own.before, measure), number(own.after, measure), change(own, measure)];
      return make("tr", {}, make("th", { scope: "row" }, measure.title), ...cells.map((text) => make("td", {}, text)));
    });
    $("numbers").tBodies[0].replaceChildren(...lines);
    const place = ids.indexOf(image.id);
    $("previous").disabled = place <= 0;
    $("next").disabled = place < 0 || place === ids.length - 1;
    paint();
    if (!$("viewer").open) $("viewer").showModal();
  };

  const step = (by) => {
    const other = order[order.indexOf(shown.id) + by];
    if (other !== undefined) BENCH.images.open(other, false);
  };

  const start = () => {
    for (const button of document.querySelectorAll('input[name="mode"]')) button.addEventListener("input", paint);
    $("slider").addEventListener("input", slide);
    $("zoom").addEventListener("input", () => {
      $("frame").style.setProperty("--zoom", $("zoom").value);
      $("frame").classList.toggle("near", Number($("zoom").value) > 1);
    });
    const drag = (event) => {
      if (event.buttons !== 1 || Number($("zoom").value) > 1 || $("slider").disabled) return;
      const box = $("frame").getBoundingClientRect();
      $("slider").value = String(Math.round((100 * (event.clientX - box.left)) / box.width));
      slide();
    };
    $("frame").addEventListener("pointerdown", drag);
    $("frame").addEventListener("pointermove", drag);
    $("previous").addEventListener("click", () => step(-1));
    $("next").addEventListener("click", () => step(1));
    $("close").addEventListener("click", () => $("viewer").close());
    $("viewer").addEventListener("close", () => left());
  };

  return { start, open, hide: () => { left = () => {}; if ($("viewer").open) $("viewer").close(); }, number, change };
})();
