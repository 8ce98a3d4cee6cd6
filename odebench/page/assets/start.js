// What happens when the page is opened.

async function startPage() {
  startTheme();
  const [data, looks] = await Promise.all([unpackData("data-cells"), unpackData("data-looks")]);
  const cells = new Cells(data);
  const table = new Table(cells);
  const sections = [...document.querySelectorAll("section.drawing")];
  const drawings = new Map(sections.map((section) => [section, new Drawing(section, { cells, looks, table })]));
  const nearby = new IntersectionObserver(
    (entries) => {
      for (const { isIntersecting, target } of entries) {
        if (!isIntersecting) continue;
        nearby.unobserve(target);
        drawings.get(target).start().catch(confess);
      }
    },
    { rootMargin: "400px" },
  );
  for (const section of sections) nearby.observe(section);
  addEventListener("beforeprint", () => drawings.forEach((drawing) => drawing.paint(PRINTED)));
  document.documentElement.dataset.ready = "true";
}

function confess(error) {
  const place = document.getElementById("trouble");
  const old = typeof DecompressionStream === "undefined";
  place.textContent = old
    ? "This browser cannot unpack the table and the figures; it takes Chrome 80, Firefox 113, Safari 16.4 or a later one."
    : `The table or a figure could not be shown: ${error.message}`;
  place.hidden = false;
  throw error;
}

startPage().catch(confess);
