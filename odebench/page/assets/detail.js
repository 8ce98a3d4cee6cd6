// What is known of one cell, below its row: every column that has something, and the command that runs it again.

function detailRow(cells, row, width) {
  const facts = make("dl", { class: "facts" });
  for (const column of cells.columns) {
    const text = cells.text(column, row);
    if (text === "" || column.name === "command") continue;
    const value = make("dd", {}, text);
    if (column.kind === "figure" && String(column.raw[row]) !== text) value.append(make("span", { class: "raw" }, ` ${column.raw[row]}`));
    facts.append(make("div", {}, make("dt", { title: column.about || null }, column.name), value));
  }
  const command = make("code", {}, cells.text(cells.named.get("command"), row));
  const copy = make("button", { type: "button" }, "Copy");
  copy.addEventListener("click", () => copyText(command, copy));
  const repeat = make("div", { class: "repeat" }, make("span", {}, "Run it again: "), command, " ", copy);
  return make("tr", { class: "detail" }, make("td", { colspan: width }, repeat, facts));
}

async function copyText(node, button) {
  try {
    await navigator.clipboard.writeText(node.textContent);
    button.textContent = "Copied";
  } catch {
    // A browser may forbid it; then the text is selected, and the usual keys copy it.
    getSelection().selectAllChildren(node);
    button.textContent = "Selected";
  }
}
