"use strict";
const list = document.getElementById("cards");
let current = null;

const shown = () => [...list.querySelectorAll("article:not([hidden])")];

const play = (audio) =>
  audio.play().catch((error) => {
    if (error.name !== "AbortError") throw error; // whoever goes on at once interrupts what has not begun
  });

function go(card) {
  if (!card) return;
  current?.querySelector("audio")?.pause();
  current?.classList.remove("current");
  current = card;
  current.classList.add("current");
  current.focus({ preventScroll: true });
  current.scrollIntoView({ block: "nearest" });
}

// Where the clips are the main part of the page the keys work everywhere, else among the clips.
(list.matches("main") ? document : list).addEventListener("keydown", (event) => {
  if (event.target.closest("select, audio, input, button, summary, a") || event.ctrlKey || event.metaKey || event.altKey) return;
  const visible = shown();
  if (!visible.length) return; // a filter hides them all: nothing plays unseen, and space scrolls
  const place = visible.indexOf(current);
  const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
  if (step) {
    go(visible[Math.max(0, Math.min(visible.length - 1, place + step))]);
  } else if (event.key === " ") {
    if (place < 0) go(visible[0]);
    const audio = current?.querySelector("audio");
    if (audio) audio.paused ? play(audio) : audio.pause();
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
