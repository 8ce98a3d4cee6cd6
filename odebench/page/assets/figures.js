// The figures: one section for each kind, unpacked and drawn when the reader comes near it.

const MOST = 4; // panels that are shown together unless the reader asks for one
const EVERYTHING = 12; // panels that may be shown together
const PRINTED = 680; // pixels of a figure on paper
// The buttons are named one by one: among plotly's own is one that sends the figure to a server.
const CONFIG = {
  displaylogo: false,
  responsive: true,
  showSendToCloud: false,
  plotlyServerURL: "",
  modeBarButtons: [["zoomIn2d", "zoomOut2d", "resetScale2d"], ["toImage"]],
  toImageButtonOptions: { format: "svg" },
};

class Drawing {
  constructor(section, context) {
    this.section = section;
    this.context = context; // { cells, looks, table }
    this.place = section.querySelector(".panels");
    this.choices = Object.fromEntries([...section.querySelectorAll("[data-choice]")].map((each) => [each.dataset.choice, each]));
    this.hidden = new Set(); // lines that the reader switched off, by name
    this.drawn = []; // { node, panel }
    this.figures = [];
    this.started = null;
    this.choices.study.addEventListener("change", () => this.load());
    this.choices.cost.addEventListener("change", () => this.choosePanels());
    this.choices.panel.addEventListener("change", () => this.draw());
    repaints.push(() => this.paint());
  }

  start() {
    this.started ??= this.load();
    return this.started;
  }

  async load() {
    const [data, library] = await Promise.all([unpackData(this.choices.study.value), plotly()]);
    this.library = library;
    this.figures = data.figures;
    this.hidden.clear();
    offer(this.choices.cost, this.figures.map((figure, index) => [index, figure.against]));
    this.choosePanels();
  }

  get figure() {
    return this.figures[Number(this.choices.cost.value)];
  }

  /** Offer the panels of the figure; those of one title, as of a Pareto front, belong together. */
  choosePanels() {
    const titles = [...new Set(this.figure.panels.map((panel) => panel.title))];
    const kept = this.choices.panel.value;
    const options = titles.map((title, index) => [index, title]);
    if (this.figure.panels.length <= EVERYTHING && titles.length > 1) options.push(["all", `all ${titles.length}`]);
    offer(this.choices.panel, options);
    const laws = this.figure.panels.some((panel) => panel.series.some((series) => series.law)); // told beside one panel
    const usual = this.figure.panels.length <= MOST && titles.length > 1 && !laws ? "all" : "0";
    this.choices.panel.value = options.some(([value]) => String(value) === kept) ? kept : usual;
    this.tell();
    this.draw();
  }

  tell() {
    const caption = this.section.querySelector("figcaption");
    caption.querySelector(".caption").textContent = this.figure.caption;
    caption.querySelector(".notes").replaceChildren(...this.figure.notes.map((note) => make("li", {}, note)));
  }

  get panels() {
    const chosen = this.choices.panel.value;
    const titles = [...new Set(this.figure.panels.map((panel) => panel.title))];
    return chosen === "all" ? this.figure.panels : this.figure.panels.filter((panel) => panel.title === titles[Number(chosen)]);
  }

  draw() {
    for (const { node } of this.drawn) this.library.purge(node);
    this.drawn = this.panels.map((panel) => {
      const label = `${panel.title}: ${panel.y.title} against ${panel.x.title}, ${panel.series.length} lines. Its lines as a table are below.`;
      return { panel, node: make("div", { class: "plot", role: "group", "aria-label": label }) };
    });
    this.place.replaceChildren(...this.drawn.map(({ panel, node }) => make("div", { class: "panel" }, make("h4", {}, panel.title), node)));
    this.paint();
    for (const { node } of this.drawn) node.on("plotly_click", (event) => this.reveal(event));
    this.drawLegend();
    this.section.querySelector(".summary").replaceChildren(...this.panels.map(summaryOf));
    this.section.dataset.drawn = "true";
  }

  /** Draw what there is in the colours of the moment; on paper so wide as that is. */
  paint(width = 0) {
    const { cells, looks } = this.context;
    for (const { node, panel } of this.drawn) {
      const colours = coloursOf(node);
      const traces = panel.series.map((series) => traceOf(series, panel, looks, cells, colours, this.hidden.has(nameOf(series))));
      this.library.react(node, traces, layoutOf(panel, colours, width), CONFIG);
      for (const drawing of node.querySelectorAll(".main-svg")) drawing.setAttribute("aria-hidden", "true");
    }
  }

  reveal(event) {
    const row = event.points[0]?.customdata;
    if (typeof row === "number") this.context.table.reveal(row);
  }

  drawLegend() {
    const entries = new Map();
    for (const series of this.panels.flatMap((panel) => panel.series)) {
      const name = nameOf(series);
      if (!entries.has(name) || (entries.get(name).faint && !series.faint)) entries.set(name, series);
    }
    const told = this.panels.length === 1;
    const buttons = [...entries].map(([name, series]) => this.legendButton(name, series, told));
    const tools = entries.size > 2 ? [this.legendTool("all", () => this.hidden.clear()), this.legendTool("none", () => entries.forEach((_, name) => this.hidden.add(name)))] : [];
    this.section.querySelector(".legend").replaceChildren(...tools, ...buttons);
  }

  legendButton(name, series, told) {
    const look = this.context.looks[series.key];
    const marked = !series.bare || series.key !== FORWARD;
    const law = told && series.law ? [": ", make("span", { class: "law" }, series.law)] : [];
    const sample = swatch(look, { line: !series.cloud, dashed: series.dashed, marked });
    const pressed = String(!this.hidden.has(name));
    const button = make("button", { type: "button", "aria-pressed": pressed }, sample, make("span", {}, series.name, ...law));
    button.addEventListener("click", () => {
      if (!this.hidden.delete(name)) this.hidden.add(name);
      button.setAttribute("aria-pressed", String(!this.hidden.has(name)));
      this.paint();
    });
    return button;
  }

  legendTool(name, change) {
    const button = make("button", { type: "button", class: "tool" }, name);
    button.addEventListener("click", () => {
      change();
      this.drawLegend();
      this.paint();
    });
    return button;
  }
}

function nameOf(series) {
  return `${series.key}\n${series.name}`;
}

function coloursOf(node) {
  const style = getComputedStyle(node);
  return { ink: style.color, rule: style.borderTopColor, quiet: style.outlineColor, paper: style.backgroundColor };
}

/** Give a list these options; it is hidden where there is nothing to choose. */
function offer(list, options) {
  list.replaceChildren(...options.map(([value, text]) => make("option", { value }, text)));
  list.closest(".choice").hidden = options.length < 2;
}

/** What a panel shows, for those who do not see it. */
function summaryOf(panel) {
  const laws = panel.series.some((series) => series.law);
  const titles = ["line", "points", panel.x.title, panel.y.title, ...(laws ? ["law"] : [])];
  const rows = panel.series.map((series) => {
    const cells = [String(series.x.length), span(series.x), span(series.y), ...(laws ? [series.law ?? ""] : [])];
    const name = series.faint ? `${series.name} (faint)` : series.name;
    return make("tr", {}, make("th", { scope: "row" }, name), ...cells.map((text) => make("td", {}, text)));
  });
  const header = make("tr", {}, ...titles.map((title) => make("th", { scope: "col" }, title)));
  const table = make("table", {}, make("caption", {}, panel.title), make("thead", {}, header), make("tbody", {}, ...rows));
  return make("div", { class: "scroll", role: "region", tabindex: "0", "aria-label": panel.title }, table);
}

function span(values) {
  const low = values.reduce((a, b) => Math.min(a, b));
  const high = values.reduce((a, b) => Math.max(a, b));
  return low === high ? brief(low) : `${brief(low)} to ${brief(high)}`;
}
