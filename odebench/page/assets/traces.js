// A panel as plotly wants it. One renderer for all kinds of figures; what they show was computed before.

const FORWARD = "forward"; // the key of the line that others are compared with
const SPARSE = 7; // about so many marks on a line whose points are no cells, so that it is known without its colour
const FAINT = 0.3;

/** Black is the one colour of the palette that has to turn over on a dark page. */
function ink(colour) {
  return colour === "#000000" ? "var(--ink)" : colour;
}

/** Text that plotly shows as it is: it reads some tags and entities in what it draws. */
function literal(text) {
  return String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
}

function traceOf(series, panel, looks, cells, colours, hidden) {
  const look = looks[series.key];
  const colour = look.colour === "#000000" ? colours.ink : look.colour;
  const forward = series.key === FORWARD;
  const marked = !series.bare || !forward;
  const edge = look.fill === "dot" ? colours.ink : colour; // of the mark, and of the dot in it
  const mark = look.fill === "full" ? look.mark : `${look.mark}-${look.fill}`;
  return {
    type: "scatter",
    name: literal(series.name),
    x: series.x,
    y: series.y,
    mode: [series.cloud ? "" : "lines", marked ? "markers" : ""].filter(Boolean).join("+"),
    line: { color: colour, width: forward ? 4 : 2, dash: series.dashed ? "dash" : look.dash },
    marker: { color: colour, symbol: mark, size: look.mark === "star" ? 12 : 9, line: { color: edge, width: 1.3 }, maxdisplayed: series.bare ? SPARSE : 0 },
    opacity: series.faint ? FAINT : 1,
    visible: !hidden,
    text: series.x.map((_, index) => hoverText(series, panel, index, cells)),
    hovertemplate: "%{text}<extra></extra>",
    customdata: series.cells ?? series.x.map(() => series.of ?? null),
    showlegend: false,
  };
}

function hoverText(series, panel, index, cells) {
  const row = series.cells ? series.cells[index] : series.of;
  const lines = [series.name];
  if (!series.cells) lines.push(`${panel.x.title}: ${brief(series.x[index])}`, `${panel.y.title}: ${brief(series.y[index])}`);
  if (typeof row === "number") lines.push(...cells.told(row));
  return lines.map(literal).join("<br>");
}

function brief(value) {
  return String(Number(value?.toPrecision(4)));
}

function layoutOf(panel, colours, width) {
  const font = { family: "system-ui, sans-serif", size: 13, color: colours.ink };
  return {
    height: panel.equal ? 480 : 430,
    ...(width ? { width, autosize: false } : { autosize: true }),
    margin: { l: 64, r: 16, t: 12, b: 52 },
    font,
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    hovermode: "closest",
    hoverlabel: { align: "left", bgcolor: colours.paper, bordercolor: colours.ink, font: { ...font, size: 12 } },
    dragmode: "zoom",
    modebar: { bgcolor: "rgba(0,0,0,0)", color: colours.quiet, activecolor: colours.ink },
    uirevision: panel.title, // what was zoomed stays so where colours change
    xaxis: axisOf(panel, "x", colours),
    yaxis: { ...axisOf(panel, "y", colours), ...(panel.equal ? { scaleanchor: "x" } : {}) },
  };
}

function axisOf(panel, side, colours) {
  const axis = panel[side];
  const look = { gridcolor: colours.rule, linecolor: colours.ink, zeroline: false, showline: true, ticks: "outside", automargin: true };
  const title = { text: literal(axis.title), standoff: 8 };
  const range = axis.limits?.map((limit) => (axis.log ? Math.log10(limit) : limit));
  const ticks = axis.log ? { type: "log", exponentformat: "power", ...logTicks(panel, side) } : { type: "linear" };
  return { ...look, title, ...(range ? { range } : {}), ...ticks };
}

/** Whole powers of ten where there are several; plotly's small digits between them are read as counts. */
function logTicks(panel, side) {
  const values = panel.series.flatMap((series) => series[side].filter((value) => value > 0));
  const decades = Math.log10(values.reduce((a, b) => Math.max(a, b)) / values.reduce((a, b) => Math.min(a, b)));
  return decades < 1.5 ? {} : { dtick: Math.max(1, Math.ceil(decades / 6)) };
}
