// The table of all cells: columns to choose, rows to filter and sort, a page of them at a time.

const NAMED = ["problem", "solver", "gradient", "stepping"];
const PLACED = ["device", "dtype", "batch", "seed"];
const ORDER = new Intl.Collator("en", { numeric: true });

/** What the cells are: columns by name, and what stands in them. */
class Cells {
  constructor(data) {
    this.rows = data.rows;
    this.columns = data.columns;
    this.shown = data.shown;
    this.aliases = data.aliases;
    this.named = new Map(data.columns.map((column) => [column.name, column]));
    this.searched = null;
  }

  /** What stands in a column, as people read it. */
  text(column, row) {
    if (column.kind === "name") return column.known[column.at[row]];
    return column.kind === "figure" ? column.shown[row] : column.texts[row];
  }

  /** The same without options where that is clear. */
  short(column, row) {
    if (!column.short) return this.text(column, row);
    column.shortened ??= column.known.map((name) => column.short.find(([, full]) => full === name)?.[0] ?? name);
    return column.shortened[column.at[row]];
  }

  /** As it was measured: a number, infinities and NaN included, or null. */
  figure(column, row) {
    const raw = column.raw[row];
    return typeof raw === "string" ? Number(raw.replace("inf", "Infinity")) : raw;
  }

  /** The cell on one line. */
  name(row) {
    return [...NAMED, ...PLACED].map((part) => this.text(this.named.get(part), row)).join(" / ");
  }

  /** The cell and its figures, in lines. */
  told(row) {
    const line = (column) => `${column.title}: ${this.text(column, row)}`;
    const figures = this.columns.filter((column) => column.kind === "figure" && this.shown.includes(column.name));
    const labels = ["results", "suite"].map((name) => this.named.get(name)).filter((column) => column?.choice);
    const place = [...PLACED, "status"].map((name) => this.text(this.named.get(name), row)).join(", ");
    const named = NAMED.map((name) => this.named.get(name));
    return [...[...labels, ...named].map(line), place, ...figures.filter((column) => this.text(column, row) !== "").map(line)];
  }

  /** For a filter: rows that hold a word anywhere in their names, status or reason. */
  holds(word) {
    this.searched ??= this.searchTexts();
    const wanted = word.toLowerCase();
    return (row) => this.searched[row].includes(wanted);
  }

  /** For a filter: rows whose column compares so. A bare name means every configuration of it. */
  compares(name, operator, value) {
    const column = this.named.get(name) ?? this.named.get(this.aliases[name]);
    if (column === undefined) throw new Error(`there is no column ${name}; there are ${[...this.named.keys()].join(", ")}`);
    if (operator === "!=") {
      const equal = this.compares(name, "=", value);
      return (row) => !equal(row);
    }
    if (column.kind === "figure") {
      const limit = Number(value);
      if (Number.isNaN(limit)) throw new Error(`${name} is a number, and ${value} is none`);
      const test = { "=": (a) => a === limit, "<": (a) => a < limit, "<=": (a) => a <= limit, ">": (a) => a > limit, ">=": (a) => a >= limit }[operator];
      return (row) => column.raw[row] !== null && test(this.figure(column, row));
    }
    if (operator !== "=") throw new Error(`${name} is no number, so it can be = or !=`);
    const wanted = value.toLowerCase();
    return (row) => {
      const text = this.text(column, row).toLowerCase();
      return text === wanted || (column.kind === "name" && text.split(/[(:]/)[0] === wanted);
    };
  }

  searchTexts() {
    const searched = this.columns.filter((column) => column.kind === "name" || column.name === "reason");
    return Array.from({ length: this.rows }, (_, row) => searched.map((column) => this.text(column, row)).join("\n").toLowerCase());
  }

  /** Row numbers in the order of a column; what it lacks comes last either way. */
  sorted(rows, column, descending) {
    const sign = descending ? -1 : 1;
    const figure = column.kind === "figure";
    const keys = rows.map((row) => (figure ? this.figure(column, row) : this.text(column, row)));
    const missing = (key) => key === null || key === "" || Number.isNaN(key);
    const compare = figure ? (a, b) => (a < b ? -1 : a > b ? 1 : 0) : ORDER.compare;
    const places = rows.map((_, index) => index);
    places.sort((a, b) => missing(keys[a]) - missing(keys[b]) || (missing(keys[a]) ? 0 : sign * compare(keys[a], keys[b])) || a - b);
    return places.map((place) => rows[place]);
  }
}

/** What is shown of them, and the controls. */
class Table {
  constructor(cells) {
    this.cells = cells;
    this.node = document.getElementById("cells");
    this.shown = new Set(cells.shown);
    this.chosen = new Map(); // column -> what was chosen of its values
    this.sort = null; // { name, descending }
    this.open = new Set(); // rows whose details are shown
    this.page = 0;
    this.size = 100;
    this.printing = false;
    this.rows = Array.from({ length: cells.rows }, (_, row) => row);
    this.addChoices();
    this.addColumns();
    this.listen();
    this.update();
  }

  listen() {
    const filter = document.getElementById("filter");
    let waiting = 0;
    filter.addEventListener("input", () => {
      clearTimeout(waiting);
      waiting = setTimeout(() => this.update(), 120);
    });
    document.getElementById("controls").addEventListener("submit", (event) => {
      event.preventDefault();
      this.update();
    });
    const size = document.getElementById("size");
    size.value = String(this.size);
    size.addEventListener("change", () => {
      this.size = Number(size.value);
      this.turn(0);
    });
    document.getElementById("previous").addEventListener("click", () => this.turn(this.page - 1));
    document.getElementById("next").addEventListener("click", () => this.turn(this.page + 1));
    for (const button of document.querySelectorAll("[data-filter]")) {
      button.addEventListener("click", () => this.filterBy(button.dataset.filter));
    }
    addEventListener("beforeprint", () => this.print(true));
    addEventListener("afterprint", () => this.print(false));
  }

  addChoices() {
    const place = document.getElementById("choices");
    for (const column of this.cells.columns) {
      if (column.kind !== "name" || !column.choice) continue;
      const choice = make("select", { id: `choice-${column.name}` }, make("option", { value: "" }, "any"));
      const values = [...column.known.keys()].sort((a, b) => ORDER.compare(column.known[a], column.known[b]));
      for (const index of values) choice.append(make("option", { value: index }, column.known[index]));
      choice.addEventListener("change", () => {
        if (choice.value === "") this.chosen.delete(column);
        else this.chosen.set(column, Number(choice.value));
        this.update();
      });
      place.append(make("span", { class: "choice" }, make("label", { for: choice.id }, column.title), choice));
    }
  }

  addColumns() {
    const place = document.querySelector("#columns fieldset");
    for (const column of this.cells.columns) {
      const box = make("input", { type: "checkbox", checked: this.shown.has(column.name) });
      box.addEventListener("change", () => {
        if (box.checked) this.shown.add(column.name);
        else this.shown.delete(column.name);
        this.draw();
      });
      place.append(make("label", { title: column.about ?? null }, box, ` ${column.name}`));
    }
  }

  /** Filter and sort anew, and go to the first page. */
  update() {
    const filter = document.getElementById("filter");
    const fault = document.getElementById("filter-fault");
    let test;
    try {
      test = readFilter(filter.value, this.cells);
      fault.textContent = "";
      filter.removeAttribute("aria-invalid");
    } catch (error) {
      // The rows stay as they are: the reader may not have finished.
      fault.textContent = `The filter cannot be read: ${error.message}.`;
      filter.setAttribute("aria-invalid", "true");
      return;
    }
    const chosen = [...this.chosen];
    let rows = Array.from({ length: this.cells.rows }, (_, row) => row);
    rows = rows.filter((row) => chosen.every(([column, index]) => column.at[row] === index) && test(row));
    this.rows = this.sort ? this.cells.sorted(rows, this.cells.named.get(this.sort.name), this.sort.descending) : rows;
    this.turn(0);
  }

  filterBy(text) {
    document.getElementById("filter").value = text;
    this.chosen.clear();
    for (const choice of document.querySelectorAll("#choices select")) choice.value = "";
    this.update();
    document.getElementById("table").scrollIntoView();
    document.getElementById("filter").focus({ preventScroll: true });
  }

  sortBy(name) {
    const descending = this.sort?.name === name && !this.sort.descending;
    this.sort = { name, descending };
    this.update();
    this.node.querySelector(`button[data-column="${CSS.escape(name)}"]`).focus();
  }

  /** Show the row of a cell, opened; the filter gives way where it hides the row. */
  reveal(row) {
    if (!this.rows.includes(row)) this.filterBy("");
    this.open.add(row);
    this.turn(Math.floor(this.rows.indexOf(row) / this.size) || 0);
    const button = this.node.querySelector(`button[data-row="${row}"]`);
    button.scrollIntoView({ block: "center" });
    button.focus({ preventScroll: true });
  }

  turn(page) {
    this.page = page;
    this.draw();
  }

  print(printing) {
    this.printing = printing;
    this.draw();
  }

  draw() {
    const { cells, rows } = this;
    const size = this.printing ? Infinity : this.size;
    const pages = Math.max(1, Math.ceil(rows.length / size));
    const first = size === Infinity ? 0 : this.page * size;
    const columns = cells.columns.filter((column) => this.shown.has(column.name));
    this.node.tHead.replaceChildren(this.header(columns));
    const body = this.node.tBodies[0];
    const drawn = [];
    for (const row of rows.slice(first, first + size)) {
      drawn.push(this.row(columns, row), ...this.reason(columns, row));
      if (this.open.has(row)) drawn.push(detailRow(cells, row, columns.length + 1));
    }
    body.replaceChildren(...drawn);
    const sorted = this.sort ? `, sorted by ${this.sort.name}${this.sort.descending ? ", largest first" : ""}` : "";
    const short = columns.flatMap((column) => column.short ?? []).map(([name, full]) => `${name} is ${full}`);
    this.node.caption.textContent = `Cells${sorted}${short.length ? `; ${short.join(", ")}` : ""}`;
    document.getElementById("told").textContent = `${rows.length} of ${cells.rows} cells`;
    document.getElementById("page").textContent = `page ${Math.min(this.page + 1, pages)} of ${pages}`;
    document.getElementById("previous").disabled = this.page === 0;
    document.getElementById("next").disabled = this.page + 1 >= pages;
    document.getElementById("pages").hidden = cells.rows <= 50;
  }

  header(columns) {
    const header = make("tr", {}, make("th", { scope: "col" }, make("span", { class: "unseen" }, "Details")));
    for (const column of columns) {
      const button = make("button", { type: "button", "data-column": column.name, title: column.about || null }, column.title);
      button.addEventListener("click", () => this.sortBy(column.name));
      const sorted = this.sort?.name !== column.name ? "none" : this.sort.descending ? "descending" : "ascending";
      // A header with a button in it is printed on the first page only.
      header.append(make("th", { scope: "col", "aria-sort": sorted, class: column.kind }, this.printing ? column.title : button));
    }
    return header;
  }

  row(columns, row) {
    const { cells } = this;
    const status = cells.text(cells.named.get("status"), row);
    const open = this.open.has(row);
    const label = `Details of ${cells.name(row)}`;
    const button = make("button", { type: "button", class: "opener", "aria-expanded": String(open), "aria-label": label, "data-row": row });
    button.addEventListener("click", () => this.toggle(button, columns, row));
    const node = make("tr", { class: `cell ${status}` }, make("td", {}, button));
    let headed = false;
    for (const column of columns) {
      const text = cells.text(column, row);
      if (column.kind === "figure") {
        const raw = column.raw[row];
        node.append(make("td", { class: "figure", title: raw, "data-raw": raw }, text));
      } else {
        const heads = !headed && column.name !== "results" && column.name !== "suite";
        headed ||= heads;
        const short = cells.short(column, row);
        const attributes = { scope: heads ? "row" : null, class: column.kind, title: short === text ? null : text };
        node.append(make(heads ? "th" : "td", attributes, ...jointed(short)));
      }
    }
    return node;
  }

  /** A line below the row of a cell that is not ok: why. None where there is a column for it. */
  reason(columns, row) {
    const column = this.cells.named.get("reason");
    const text = column && !this.shown.has("reason") ? this.cells.text(column, row) : "";
    return text === "" ? [] : [make("tr", { class: "reason" }, make("td"), make("td", { colspan: columns.length }, text))];
  }

  toggle(button, columns, row) {
    const open = !this.open.delete(row);
    let line = button.closest("tr");
    if (line.nextElementSibling?.className === "reason") line = line.nextElementSibling;
    if (open) {
      this.open.add(row);
      line.after(detailRow(this.cells, row, columns.length + 1));
    } else {
      line.nextElementSibling.remove();
    }
    button.setAttribute("aria-expanded", String(open));
  }
}
