"use strict";
(() => {
  const block = JSON.parse(document.getElementById("rows").textContent);
  const views = [], off = new Set();
  let lit = "", held = "";
  const make = (tag, put, kids) => {
    const node = Object.assign(document.createElement(tag), put || {});
    node.append(...(kids || []));
    return node;
  };

  // Tables: a header that sorts is a button; a long table has a field that filters its rows.
  const UNITS = {k: 1e3, M: 1e6, G: 1e9, T: 1e12, s: 1, min: 60, h: 3600};
  const number = text => {
    const part = /^[<>]?\s*([+-]?\d[\d,]*\.?\d*(?:e[+-]?\d+)?)(?:\s*\/\s*(\d+))?(?:\s*([kMGTsh]|min)\b)?/.exec(text.replace("−", "-"));
    if (!part) return null;
    const value = parseFloat(part[1].replace(/,/g, ""));
    return part[2] ? value / part[2] : value * (UNITS[part[3]] || 1);
  };
  const words = cell => (cell.querySelector(".key") || cell).textContent.trim();
  const sort = (table, at, head) => {
    const up = head.getAttribute("aria-sort") !== "ascending";
    for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", up ? "ascending" : "descending");
    const rows = [...table.tBodies[0].rows].map(row => [row, words(row.cells[at])]);
    const blank = text => text === "" || text === "-";
    const numeric = rows.every(([, text]) => blank(text) || number(text) !== null);
    rows.sort(([, a], [, b]) => {
      if (blank(a) || blank(b)) return blank(a) - blank(b);
      const by = numeric ? number(a) - number(b) : a.localeCompare(b, "en", {numeric: true});
      return up ? by : -by;
    });
    table.tBodies[0].append(...rows.map(([row]) => row));
  };
  for (const table of document.querySelectorAll("table")) {
    const body = table.tBodies[0], box = table.parentElement;
    if (table.tBodies.length !== 1 || body.rows.length < 2) continue;
    [...table.tHead.rows[0].cells].forEach((head, at) => {
      if (!head.textContent.trim()) return;
      const button = make("button", {type: "button", className: "sort"}, [...head.childNodes]);
      button.addEventListener("click", () => sort(table, at, head));
      head.append(button);
    });
    if (body.rows.length > 8) {
      const said = make("span", {className: "soft"});
      said.setAttribute("aria-live", "polite");
      const field = make("input", {type: "search"});
      field.addEventListener("input", () => {
        const want = field.value.toLowerCase().split(/\s+/).filter(Boolean);
        let left = 0;
        for (const row of body.rows) {
          const text = row.textContent.toLowerCase();
          row.hidden = !want.every(word => text.includes(word));
          left += !row.hidden;
        }
        said.textContent = want.length ? `${left} of ${body.rows.length} rows` : "";
      });
      box.before(make("p", {className: "filter"}, [make("label", {}, ["Filter rows ", field]), said]));
    }
  }
  const reach = () => {
    for (const box of document.querySelectorAll(".wide")) {
      if (box.scrollWidth > box.clientWidth) box.tabIndex = 0; else box.removeAttribute("tabindex");
    }
  };
  reach();
  addEventListener("resize", reach);
  for (const fold of document.querySelectorAll("details")) fold.addEventListener("toggle", reach);

  // Arms: one list for all charts, lit from the list, from a table's row or by its name.
  const tell = () => {
    lit = held || lit;
    for (const view of views) view.signal("off", [...off]).signal("lit", off.has(lit) ? "" : lit).runAsync();
    for (const node of document.querySelectorAll("[data-arm]")) node.classList.toggle("lit", node.dataset.arm === lit && lit !== "");
    for (const node of document.querySelectorAll("button.arm")) node.setAttribute("aria-pressed", node.value === held && held !== "");
  };
  const point = name => { lit = name; tell(); };
  const hold = name => { held = held === name ? "" : name; lit = held; tell(); };
  const list = document.getElementById("arms");
  const mark = arm => {
    const space = "http://www.w3.org/2000/svg";
    const svg = document.createElementNS(space, "svg"), line = document.createElementNS(space, "line");
    svg.setAttribute("width", 34); svg.setAttribute("height", 10); svg.setAttribute("aria-hidden", "true");
    for (const [key, value] of Object.entries({x1: 0, x2: 34, y1: 5, y2: 5, stroke: arm.color, "stroke-width": 3, "stroke-dasharray": arm.dash[1] ? arm.dash.join(" ") : "none"})) line.setAttribute(key, value);
    svg.append(line);
    return svg;
  };
  if (list && block.arms.length > 1) {
    for (const arm of block.arms) {
      const box = make("input", {type: "checkbox", checked: true});
      box.addEventListener("change", () => { box.checked ? off.delete(arm.name) : off.add(arm.name); tell(); });
      const item = make("label", {}, [box, mark(arm), make("span", {}, [arm.name + (arm.baseline ? " (baseline)" : "")])]);
      item.dataset.arm = arm.name;
      item.addEventListener("pointerenter", () => point(arm.name));
      item.addEventListener("pointerleave", () => point(""));
      box.addEventListener("focus", () => point(arm.name));
      box.addEventListener("blur", () => point(""));
      list.append(item);
    }
    const all = on => () => {
      list.querySelectorAll("input").forEach((box, at) => { box.checked = on; on ? off.delete(block.arms[at].name) : off.add(block.arms[at].name); });
      tell();
    };
    for (const [text, on] of [["all", true], ["none", false]]) {
      const button = make("button", {type: "button"}, [text]);
      button.addEventListener("click", all(on));
      list.append(button);
    }
    document.getElementById("choose").hidden = false;
  }
  for (const row of document.querySelectorAll("tr[data-arm]")) {
    row.addEventListener("pointerenter", () => point(row.dataset.arm));
    row.addEventListener("pointerleave", () => point(""));
    const name = row.querySelector(".name");
    if (!name) continue;
    const button = make("button", {type: "button", className: "arm", value: row.dataset.arm, title: "keep this arm lit in all charts"}, [...name.childNodes]);
    button.setAttribute("aria-pressed", "false");
    button.addEventListener("click", () => hold(row.dataset.arm));
    name.append(button);
  }

  // Charts: the static picture goes when the chart stands, and comes back on paper.
  const draw = async place => {
    const spec = {...block.charts[place.dataset.chart], datasets: block.rows};
    const result = await window.vegaEmbed(place, spec, {actions: false, ast: true, renderer: "svg"});
    views.push(result.view);
    const svg = place.querySelector("svg");
    svg.setAttribute("role", "img");
    svg.removeAttribute("aria-roledescription");
    svg.setAttribute("aria-label", place.dataset.label);
    svg.setAttribute("tabindex", "-1");
    for (const node of svg.querySelectorAll("[role]")) { node.removeAttribute("role"); node.removeAttribute("aria-roledescription"); node.removeAttribute("aria-label"); }
    place.closest("figure").classList.add("live");
  };
  const places = [...document.querySelectorAll("[data-chart]")];
  window.drawn = Promise.allSettled(places.map(draw)).then(all => {
    for (const one of all) if (one.status === "rejected") console.error(String(one.reason));
    document.documentElement.classList.add("ready");
    return all.filter(one => one.status === "fulfilled").length;
  });
})();
