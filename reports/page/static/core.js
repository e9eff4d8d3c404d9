"use strict";
// What the other scripts share: data by name, the state in the address, elements made of text alone.

const BENCH = (() => {
  const chunks = new Map();
  const loading = new Map();
  const $ = (id) => document.getElementById(id);

  // Data come as scripts: a page on a disk may fetch nothing.
  const push = (name, data, deflated = false) => { chunks.set(name, deflated ? inflate(data) : data); };
  // Of what bench.reports.page.script.chunk has deflated.
  const inflate = async (text) => {
    const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"))).json();
  };
  const script = (source) => {
    if (!loading.has(source)) {
      loading.set(source, new Promise((done, failed) => {
        const tag = document.createElement("script");
        tag.src = source;
        tag.onload = done;
        tag.onerror = () => { loading.delete(source); failed(new Error(`${source} is missing beside the page`)); };
        document.head.append(tag);
      }));
    }
    return loading.get(source);
  };
  const load = async (name) => {
    if (!chunks.has(name)) await script(`data/${name}.js`);
    return chunks.get(name);
  };
  const plotly = async () => {
    if (!window.Plotly) await script("plotly.min.js");
    return window.Plotly;
  };

  const read = () => new URLSearchParams(location.hash.slice(1));
  const get = (key) => read().get(key) ?? "";
  // A null or "" takes a key out; the others stay. `enter` makes a step that Back undoes.
  const put = (changes, enter = false) => {
    const state = read();
    for (const [key, value] of Object.entries(changes)) {
      if (value) state.set(key, value); else state.delete(key);
    }
    history[enter ? "pushState" : "replaceState"](null, "", `#${state}`);
    return `#${state}`;
  };

  const make = (tag, attributes = {}, ...inside) => {
    const found = document.createElement(tag);
    for (const [key, value] of Object.entries(attributes)) found.setAttribute(key, value);
    found.append(...inside);
    return found;
  };

  let pending = 0;
  const say = (text) => {
    $("said").textContent = text;
    clearTimeout(pending);
    pending = setTimeout(() => { $("said").textContent = ""; }, 4000);
  };
  const fail = (error) => say(error.message);

  return { $, push, load, plotly, get, put, make, say, fail };
})();
