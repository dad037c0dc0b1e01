const form = document.getElementById("choose");
const cards = [...list.querySelectorAll("article")];
const facts = new Map(cards.map((card, place) => [card, { ...JSON.parse(card.dataset.facts), place }]));

function choose() {
  const wanted = Object.fromEntries(new FormData(form));
  const { sort, ...filters } = wanted;
  for (const card of cards) {
    card.hidden = Object.entries(filters).some(([name, value]) => value && !facts.get(card)[name].includes(value));
    if (card.hidden) card.querySelector("audio")?.pause();
  }
  const key = (card) => (sort ? facts.get(card)[sort].join("\n") || "\uffff" : "");
  const order = (a, b) => (key(a) < key(b) ? -1 : key(a) > key(b) ? 1 : facts.get(a).place - facts.get(b).place);
  list.append(...[...cards].sort(order));
  document.getElementById("count").textContent = `${shown().length} of ${cards.length} clips`;
}

form.addEventListener("change", choose);
form.addEventListener("submit", (event) => event.preventDefault());
choose();
