// A picture goes to /picture; what comes back, a token or a problem, is told to Python.
element.addEventListener("change", async (event) => {
  const file = event.target.type === "file" ? event.target.files[0] : null;
  if (!file) return;
  if (file.size > 20000000) {
    trigger("upload", { problem: "the file is too large; at most 20 MB are read" });
  } else {
    try {
      const answer = await fetch("picture", { method: "POST", body: file });
      trigger("upload", await answer.json());
    } catch {
      trigger("upload", { problem: "it did not arrive" });
    }
  }
  event.target.value = ""; // so that the same file can be chosen again
});
