// Tells screen readers and keyboards what the theme leaves out.
"use strict";

document.addEventListener("DOMContentLoaded", () => {
  const set = (selector, name, value) =>
    document.querySelectorAll(selector).forEach((element) => element.setAttribute(name, value));
  set('.caption[role="heading"]', "aria-level", "2");
  set(".sidebar-drawer", "aria-label", "All pages");
  set(".toc-drawer", "aria-label", "This page");

  // What scrolls can be reached by keyboard.
  const reach = () =>
    document.querySelectorAll("pre, .table-wrapper, .cell_output .output").forEach((element) => {
      if (element.scrollWidth > element.clientWidth) element.tabIndex = 0;
    });
  reach();
  window.addEventListener("resize", reach);

  // An empty cell heads nothing.
  for (const header of document.querySelectorAll("th")) {
    if (header.textContent.trim()) continue;
    const cell = document.createElement("td");
    cell.append(...header.childNodes);
    header.replaceWith(cell);
  }

  if (!document.querySelector("h1")) {
    const title = document.createElement("h1");
    title.textContent = document.title.split(" - ")[0];
    document.querySelector("#search-results")?.before(title);
  }
});
