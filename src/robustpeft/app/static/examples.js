// A button of an example tells Python which image was picked.
element.addEventListener("click", (event) => {
  const button = event.target.closest("[data-pick]");
  if (button) trigger("click", { pick: button.dataset.pick });
});
