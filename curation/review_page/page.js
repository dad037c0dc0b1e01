"use strict";
const list = document.getElementById("cards");
const form = document.getElementById("choose");
const cards = [...list.querySelectorAll("article")];
const facts = new Map(cards.map((card, place) => [card, { ...JSON.parse(card.dataset.facts), place }]));
let current = null;

const shown = () => [...list.querySelectorAll("article:not([hidden])")];

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

function go(card) {
  if (!card) return;
  current?.querySelector("audio")?.pause();
  current?.classList.remove("current");
  current = card;
  current.classList.add("current");
  current.focus({ preventScroll: true });
  current.scrollIntoView({ block: "nearest" });
}

document.addEventListener("keydown", (event) => {
  if (event.target.closest("select, audio, input, button") || event.ctrlKey || event.metaKey || event.altKey) return;
  const visible = shown();
  const place = visible.indexOf(current);
  const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
  if (step) {
    go(visible[Math.max(0, Math.min(visible.length - 1, place + step))]);
  } else if (event.key === " ") {
    if (place < 0) go(visible[0]);
    const audio = current?.querySelector("audio");
    if (audio) audio.paused ? audio.play() : audio.pause();
  } else {
    return;
  }
  event.preventDefault();
});
list.addEventListener("focusin", (event) => {
  const card = event.target.closest("article");
  if (card && card !== current) {
    current?.classList.remove("current");
    current = card;
    card.classList.add("current");
  }
});
list.addEventListener("play", (event) => {
  for (const audio of list.querySelectorAll("audio")) if (audio !== event.target) audio.pause();
}, true);
form.addEventListener("change", choose);
form.addEventListener("submit", (event) => event.preventDefault());
choose();
