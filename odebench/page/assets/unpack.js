"use strict";

// Scripts and data of some size stand in the page as gzip in base64, each in a block of its own.

const unpacked = new Map(); // id of a block -> promise of its text

function unpack(id) {
  if (!unpacked.has(id)) unpacked.set(id, inflate(document.getElementById(id).textContent));
  return unpacked.get(id);
}

async function inflate(packed) {
  const bytes = Uint8Array.from(atob(packed), (character) => character.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).text();
}

async function unpackData(id) {
  return JSON.parse(await unpack(id));
}

let library = null;

/** Plotly, once somebody needs it. The policy of the page lets this script run, by its digest. */
function plotly() {
  library ??= unpack("plotly").then((source) => {
    const script = document.createElement("script");
    script.textContent = source;
    document.head.append(script);
    return window.Plotly;
  });
  return library;
}

/** Text that may be broken where a name has a joint. */
function jointed(text) {
  return text.split(/(?<=[(/])/).flatMap((part, index) => (index ? [make("wbr"), part] : [part]));
}

/** `<name …>children</name>`; children are nodes or text, and text stays text. */
function make(name, attributes = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value !== null && value !== false) node.setAttribute(key, value === true ? "" : value);
  }
  node.append(...children);
  return node;
}
