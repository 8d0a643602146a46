"use strict";
const { tiles, earlier } = JSON.parse(document.getElementById("data").textContent);
const verdicts = new Map(Object.entries(earlier));
const element = (id) => document.getElementById(id);
let here = 0;
let saved = true;

const items = tiles.map((tile, index) => {
  const item = document.createElement("li");
  item.tabIndex = -1;
  for (const text of [tile.doubt.toFixed(2), tile.tile, ""]) {
    item.append(Object.assign(document.createElement("span"), { textContent: text }));
  }
  item.addEventListener("click", () => show(index));
  element(tile.aside ? "rest" : "list").append(item);
  return item;
});

function mark(index) {
  const verdict = verdicts.get(tiles[index].tile) ?? "";
  const cell = items[index].lastChild;
  cell.textContent = verdict;
  cell.className = verdict;
}

function show(index) {
  if (!tiles.length) return;
  items[here].classList.remove("here");
  here = Math.max(0, Math.min(tiles.length - 1, index));
  const tile = tiles[here];
  items[here].classList.add("here");
  if (tile.aside) element("aside").open = true;
  items[here].scrollIntoView({ block: "nearest" });
  element("picture").src = tile.picture;
  element("picture").alt = `Picture of ${tile.tile}`;
  element("drawing").setAttribute("viewBox", `0 0 ${tile.size} ${tile.size}`);
  for (const [id, path] of [["road", tile.road], ["road-back", tile.road], ["unknown", tile.unknown]]) {
    element(id).setAttribute("d", path);
  }
  element("name").textContent = `${tile.tile}, doubt ${tile.doubt.toFixed(2)}`;
  element("why").textContent = tile.why;
  element("rule").textContent = tile.rule;
  element("numbers").replaceChildren(
    ...tile.numbers.map((pair) => {
      const row = document.createElement("tr");
      row.append(...pair.map((text) => Object.assign(document.createElement("td"), { textContent: text })));
      return row;
    }),
  );
  tell();
}

function tell() {
  const verdict = verdicts.get(tiles[here]?.tile) ?? "";
  element("verdict").textContent = verdict ? `Your verdict: ${verdict}` : "No verdict of yours";
  element("verdict").className = verdict || "soft";
  const count = tiles.filter((tile) => verdicts.has(tile.tile)).length;
  element("state").textContent = `${count} of ${tiles.length} reviewed${saved ? "" : ", not saved yet"}`;
}

function judge(verdict) {
  if (!tiles.length) return;
  if (verdict) verdicts.set(tiles[here].tile, verdict);
  else verdicts.delete(tiles[here].tile);
  saved = false;
  mark(here);
  if (verdict) show(here + 1);
  tell();
}

function save() {
  const lines = [...verdicts].sort(([one], [two]) => (one < two ? -1 : 1));
  const text = ["tile,verdict", ...lines.map((pair) => pair.join(","))].join("\n") + "\n";
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
  link.download = "review.csv";
  link.click();
  URL.revokeObjectURL(link.href);
  saved = true;
  tell();
}

const keys = {
  k: () => judge("keep"),
  d: () => judge("drop"),
  u: () => judge(""),
  o: () => document.querySelector("figure").classList.toggle("bare"),
  s: save,
  ArrowRight: () => show(here + 1),
  ArrowDown: () => show(here + 1),
  ArrowLeft: () => show(here - 1),
  ArrowUp: () => show(here - 1),
};
document.addEventListener("keydown", (event) => {
  // With caps lock a letter comes as a capital.
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  if (event.ctrlKey || event.metaKey || event.altKey || !(key in keys)) return;
  event.preventDefault();
  // A key held down moves on, but judges one tile alone.
  if (!event.repeat || key.startsWith("Arrow")) keys[key]();
});
element("keep").addEventListener("click", keys.k);
element("drop").addEventListener("click", keys.d);
element("undo").addEventListener("click", keys.u);
element("save").addEventListener("click", save);
window.addEventListener("beforeunload", (event) => {
  if (!saved) event.preventDefault();
});
tiles.forEach((tile, index) => mark(index));
show(0);
