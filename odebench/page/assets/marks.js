// A line of the legend: the dash and the mark that plotly draws, small. Plotly's own legend cannot be used by keyboard.

const CORNERS = {
  "triangle-up": [3, 0], "triangle-right": [3, 90], "triangle-down": [3, 180], "triangle-left": [3, 270],
  square: [4, 45], diamond: [4, 0], pentagon: [5, 0], hexagon: [6, 0], star: [5, 0, 0.4],
};
const DASHES = { solid: "none", dot: "2 2", dash: "5 3", longdash: "8 3", dashdot: "5 2 1 2" };

function swatch(look, { line, dashed, marked }) {
  const node = shape("svg", { viewBox: "0 0 36 14", width: 36, height: 14, "aria-hidden": "true", style: `color: ${ink(look.colour)}` });
  const dash = DASHES[dashed ? "dash" : look.dash];
  if (line) node.append(shape("line", { x1: 1, x2: 35, y1: 7, y2: 7, stroke: "currentColor", "stroke-width": 2, "stroke-dasharray": dash }));
  if (marked) {
    const edge = look.fill === "dot" ? "var(--ink)" : "currentColor";
    const fill = look.fill.startsWith("open") ? "var(--paper)" : "currentColor";
    node.append(outline(look.mark, 5, { fill, stroke: edge, "stroke-width": 1.3 }));
    if (look.fill.endsWith("dot")) node.append(shape("circle", { cx: 18, cy: 7, r: 1.4, fill: edge }));
  }
  return node;
}

function outline(mark, radius, paint) {
  if (!(mark in CORNERS)) return shape("circle", { cx: 18, cy: 7, r: radius * 0.9, ...paint });
  const [corners, turn, waist = 1] = CORNERS[mark];
  const count = waist === 1 ? corners : 2 * corners;
  const points = Array.from({ length: count }, (_, index) => {
    const angle = ((index * 360) / count + turn - 90) * (Math.PI / 180);
    const reach = index % 2 && waist !== 1 ? radius * waist : radius;
    return `${(18 + reach * Math.cos(angle)).toFixed(2)},${(7 + reach * Math.sin(angle)).toFixed(2)}`;
  });
  return shape("polygon", { points: points.join(" "), ...paint });
}

function shape(name, attributes) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  return node;
}
