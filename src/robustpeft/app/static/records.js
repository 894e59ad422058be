// Heads sort, boxes choose; Python draws the table anew.
element.addEventListener("click", (event) => {
  const head = event.target.closest("[data-sort]");
  if (head) trigger("click", { sort: head.dataset.sort });
});
element.addEventListener("change", (event) => {
  const box = event.target.closest("[data-choose]");
  if (box) trigger("click", { choose: box.dataset.choose });
});
// A box that somebody clicked no longer follows its attribute; rows move when they are sorted.
watch("value", () => {
  for (const box of element.querySelectorAll("[data-choose]")) box.checked = box.hasAttribute("checked");
});
