// Sorts and filters the tables of rows. Without it they stay as they are, in the order of the run.
"use strict";
const tables = [...document.querySelectorAll("table.rows")];

function sort(table, head) {
  const column = [...head.parentElement.children].indexOf(head);
  const falling = head.getAttribute("aria-sort") === "ascending";
  for (const other of head.parentElement.children) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", falling ? "descending" : "ascending");
  const words = head.classList.contains("words");
  const key = (row) => {
    const text = row.children[column].dataset.key;
    return text === undefined ? null : words ? text : Number(text);
  };
  const order = (a, b) => (words ? a.localeCompare(b, "en", { numeric: true }) : a - b) * (falling ? -1 : 1);
  const body = table.tBodies[0];
  const keyed = [...body.rows].map((row) => [key(row), row]);
  keyed.sort(([a], [b]) => (a === null ? (b === null ? 0 : 1) : b === null ? -1 : order(a, b)));
  body.append(...keyed.map(([, row]) => row));
}

for (const table of tables) {
  for (const head of table.tHead.rows[0].cells) {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.firstElementChild.cloneNode(true).childNodes);
    head.append(button); // beside the words, which paper gets: a head with buttons is not repeated on each page
    button.addEventListener("click", () => sort(table, head));
  }
}

// Without it the cue stands above all tables and pictures of a narrow screen.
function hint() {
  for (const cue of document.querySelectorAll(".cue")) {
    const scrolls = cue.nextElementSibling.scrollWidth > cue.nextElementSibling.clientWidth + 1;
    cue.classList.toggle("needed", scrolls);
    cue.classList.toggle("needless", !scrolls);
  }
}
addEventListener("resize", hint);
hint();

const form = document.querySelector("form.filter");
if (form) {
  const [words, told] = [form.elements.words, form.querySelector("output")];
  const chosen = [...form.querySelectorAll("select")];
  const apply = () => {
    const wanted = words.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0, total = 0;
    for (const table of tables) {
      for (const row of table.tBodies[0].rows) {
        const text = row.textContent.toLowerCase();
        const fits = wanted.every((word) => text.includes(word))
          && chosen.every((select) => !select.value || row.dataset[select.name] === select.value);
        row.hidden = !fits;
        shown += fits;
        total += 1;
      }
    }
    told.textContent = shown === total ? `${total} rows` : `${shown} of ${total} rows`;
  };
  form.addEventListener("input", apply);
  form.addEventListener("reset", () => setTimeout(apply));
  form.addEventListener("submit", (event) => event.preventDefault());
  form.hidden = false;
  apply();
}
