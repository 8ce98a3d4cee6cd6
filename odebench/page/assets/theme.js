// Light or dark, as the system has it or as the reader chose; a printed page is light.

const THEME = "odebench-theme";
const repaints = []; // what has colours of its own, to be called where they change

function startTheme() {
  const choice = document.getElementById("theme");
  choice.value = remembered();
  paint(choice.value);
  choice.addEventListener("change", () => {
    remember(choice.value);
    paint(choice.value);
  });
  // Before what repaints itself for paper: it then finds the colours of paper.
  addEventListener("beforeprint", () => {
    document.documentElement.dataset.theme = "light";
  });
  addEventListener("afterprint", () => paint(choice.value));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", repaint);
}

function paint(theme) {
  document.documentElement.dataset.theme = theme;
  repaint();
}

function repaint() {
  for (const each of repaints) each();
}

// A browser may forbid a page from disk to keep anything.
function remembered() {
  try {
    return localStorage.getItem(THEME) ?? "";
  } catch {
    return "";
  }
}

function remember(theme) {
  try {
    localStorage.setItem(THEME, theme);
  } catch {
    // It holds until the page is closed.
  }
}
