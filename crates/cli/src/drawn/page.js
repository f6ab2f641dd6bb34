"use strict";
(() => {
  const by = (id) => document.getElementById(id);
  // What would not be seen as itself, or turn what stands beside it, is spelled out.
  const shown = (text) => text.replace(/[\p{Cc}\p{Cf}\u2028\u2029\ufffe\uffff]/gu, (c) => `\\u{${c.codePointAt(0).toString(16)}}`);
  // Everything a layout says is put on the page as text, never as markup.
  const make = (name, text, style) => {
    const made = document.createElement(name);
    if (text !== undefined) made.textContent = shown(text);
    if (style) made.className = style;
    return made;
  };
  const { nodes, edges } = JSON.parse(by("document").textContent);
  const stage = by("stage"), picture = by("picture"), details = by("details"), query = by("query");
  const figures = [...picture.querySelectorAll(".figures > .figure")];
  const lines = [...picture.querySelectorAll(".lines > .line")];
  const marks = new Map();
  for (const mark of picture.querySelectorAll(".marks > .mark")) {
    const digest = mark.getAttribute("href").slice(1);
    if (!marks.has(digest)) marks.set(digest, []);
    marks.get(digest).push(mark);
  }
  const wide = Number(picture.getAttribute("width")), high = Number(picture.getAttribute("height"));
  const places = new Map(nodes.map((node, at) => [node.digest, at]));
  const ends = edges.map((edge) => [places.get(edge.from), places.get(edge.to)]);
  const leaving = nodes.map(() => []), arriving = nodes.map(() => []);
  ends.forEach(([from, to], at) => { leaving[from].push(at); arriving[to].push(at); });
  const frames = figures.map((figure) => {
    const [x, y] = figure.getAttribute("transform").match(/\d+/g).map(Number);
    const box = figure.querySelector(".box");
    return { x, y, width: Number(box.getAttribute("width")), height: Number(box.getAttribute("height")) };
  });
  const titles = figures.map((figure) => figure.querySelector("title").textContent.split("\n", 1)[0]);
  const short = (digest) => {
    const cut = digest.indexOf(":");
    return digest.slice(0, cut + 13);
  };
  const bytes = (n) => {
    const units = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];
    let unit = 0;
    while (n >= 999.95 && unit < units.length - 1) { n /= 1000; unit += 1; }
    return `${unit ? n.toFixed(1) : n} ${units[unit]}`;
  };
  const platformOf = ({ platform }) => platform && [platform.os, platform.architecture, platform.variant].filter(Boolean).join("/");

  // Zoom. The picture lies in a box that scrolls, so that keys, wheels and fingers move it as any page.
  let scale = 1;
  const zoom = (to, x = stage.clientWidth / 2, y = stage.clientHeight / 2) => {
    const next = Math.min(4, Math.max(0.02, to));
    const atX = (stage.scrollLeft + x) / scale, atY = (stage.scrollTop + y) / scale;
    scale = next;
    picture.setAttribute("width", wide * scale);
    picture.setAttribute("height", high * scale);
    stage.scrollLeft = atX * scale - x;
    stage.scrollTop = atY * scale - y;
    by("scale").textContent = `${Math.round(scale * 100)}%`;
  };
  const fitting = () => Math.min(stage.clientWidth / wide, stage.clientHeight / high, 1);
  by("in").onclick = () => zoom(scale * 1.25);
  by("out").onclick = () => zoom(scale / 1.25);
  by("whole").onclick = () => zoom(fitting());
  by("plain").onclick = () => zoom(1);
  stage.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && !event.metaKey) return;
    event.preventDefault();
    const at = stage.getBoundingClientRect();
    zoom(scale * Math.exp(-event.deltaY / 400), event.clientX - at.left, event.clientY - at.top);
  }, { passive: false });
  let grip = null;
  stage.addEventListener("pointerdown", (event) => {
    if (event.pointerType !== "mouse" || event.button !== 0 || event.target.closest("a")) return;
    grip = { x: event.clientX + stage.scrollLeft, y: event.clientY + stage.scrollTop };
    stage.setPointerCapture(event.pointerId);
    stage.classList.add("dragging");
  });
  stage.addEventListener("pointermove", (event) => {
    if (!grip) return;
    stage.scrollLeft = grip.x - event.clientX;
    stage.scrollTop = grip.y - event.clientY;
  });
  const release = () => { grip = null; stage.classList.remove("dragging"); };
  stage.addEventListener("pointerup", release);
  stage.addEventListener("pointercancel", release);

  const show = (at, centered) => {
    const { x, y, width, height } = frames[at];
    const left = x * scale, top = y * scale, right = (x + width) * scale, bottom = (y + height) * scale;
    const seen = left >= stage.scrollLeft && right <= stage.scrollLeft + stage.clientWidth
      && top >= stage.scrollTop && bottom <= stage.scrollTop + stage.clientHeight;
    if (seen && !centered) return;
    stage.scrollLeft = (left + right - stage.clientWidth) / 2;
    stage.scrollTop = (top + bottom - stage.clientHeight) / 2;
  };

  // Details.
  let selected = null;
  let lit = [];
  const link = (at, note) => {
    const item = make("li"), to = make("a", titles[at]);
    to.href = `#${nodes[at].digest}`;
    item.append(to, " ", make("small", `${short(nodes[at].digest)}${note ? ` ${note}` : ""}`));
    return item;
  };
  const MOST = 500;
  const list = (heading, entries) => {
    if (!entries.length) return;
    details.append(make("h3", heading));
    const items = make("ul");
    items.append(...entries.slice(0, MOST).map(([at, note]) => link(at, note)));
    if (entries.length > MOST) items.append(make("li", `and ${entries.length - MOST} more`));
    details.append(items);
  };
  const describe = (at) => {
    const node = nodes[at];
    details.replaceChildren();
    const top = make("div", undefined, "top"), close = make("button", "\u00d7", "close");
    close.type = "button";
    close.setAttribute("aria-label", "Close");
    close.onclick = () => go(null);
    top.append(make("h2", titles[at]), close);
    details.append(top);
    const chips = make("p", undefined, "chips");
    chips.append(make("span", node.role));
    if (node.kind && node.kind !== "other") chips.append(make("span", node.kind));
    if (platformOf(node)) chips.append(make("span", platformOf(node)));
    if (node.absent) chips.append(make("span", "absent", "bad"));
    if (node.broken) chips.append(make("span", "broken", "bad"));
    details.append(chips);
    const facts = make("dl");
    const fact = (name, value, style) => {
      const values = [value].flat().filter(Boolean);
      if (!values.length) return;
      facts.append(make("dt", name), ...values.slice(0, MOST).map((one) => make("dd", one, style)));
      if (values.length > MOST) facts.append(make("dd", `and ${values.length - MOST} more`));
    };
    fact("Broken", node.broken);
    fact("Digest", node.digest, "mono");
    fact("Media type", node.mediaType);
    if (node.artifactType !== node.mediaType) fact("Artifact type", node.artifactType);
    fact("Size", node.size < 1000 ? bytes(node.size) : `${bytes(node.size)} (${node.size} bytes)`);
    if (node.platform && node.platform["os.version"]) fact("OS version", node.platform["os.version"]);
    if (node.platform && node.platform["os.features"]) fact("OS features", node.platform["os.features"].join(", "));
    fact("Tags", node.tags);
    fact("Full names", node.names);
    fact("Location", node.reference, "mono");
    details.append(facts);
    const annotations = Object.entries(node.annotations || {});
    if (annotations.length) {
      details.append(make("h3", "Annotations"));
      const pairs = make("dl");
      for (const [key, value] of annotations.slice(0, MOST)) pairs.append(make("dt", key), make("dd", value));
      if (annotations.length > MOST) pairs.append(make("dt", `and ${annotations.length - MOST} more`));
      details.append(pairs);
    }
    const out = leaving[at].map((line) => [edges[line], ends[line][1]]);
    const back = arriving[at].map((line) => [edges[line], ends[line][0]]);
    const of = (all, ...kinds) => all.filter(([edge]) => kinds.includes(edge.kind));
    list("Refers to", of(out, "subject").map(([edge, to]) => [to, `by ${edge.dialect}`]));
    list("Referrers", of(back, "subject").map(([edge, from]) => [from, `by ${edge.dialect}`]));
    list("Children", of(out, "child").map(([, to]) => [to]));
    list("Needs", of(out, "config", "layer", "blob").map(([edge, to]) => [to, edge.kind]));
    list("Needed by", back.filter(([edge]) => edge.kind !== "subject").map(([edge, from]) => [from, `as ${edge.kind}`]));
    details.hidden = false;
    details.scrollTop = 0;
  };
  const select = (at, centered) => {
    for (const one of lit) one.classList.remove("lit", "selected");
    lit = [];
    selected = at;
    if (at === null) {
      details.hidden = true;
      hits.length && results();
      return;
    }
    const light = (one, name) => { if (one) { one.classList.add(name); lit.push(one); } };
    light(figures[at], "selected");
    for (const line of [...leaving[at], ...arriving[at]]) light(lines[line], "lit");
    for (const mark of marks.get(nodes[at].digest) || []) light(mark, "lit");
    describe(at);
    show(at, centered);
  };

  // Search: every word has to be somewhere in what is known of a node.
  let texts = null, hits = [];
  const known = (node, at) => [
    titles[at], node.digest, node.mediaType, node.artifactType, node.role, node.kind, platformOf(node), node.absent && "absent",
    node.broken && `broken ${node.broken}`, ...node.tags, ...(node.names || []),
    ...Object.entries(node.annotations || {}).map(([key, value]) => `${key}=${value}`),
  ].filter(Boolean).join("\n").toLowerCase();
  const results = () => {
    details.replaceChildren();
    list(hits.length === 1 ? "1 found" : `${hits.length} found`, hits.map((at) => [at, nodes[at].role]));
    details.hidden = !hits.length;
  };
  const search = () => {
    const words = query.value.toLowerCase().split(/\s+/).filter(Boolean);
    texts ||= nodes.map(known);
    hits = words.length ? nodes.flatMap((_, at) => words.every((word) => texts[at].includes(word)) ? [at] : []) : [];
    const is = new Set(hits);
    figures.forEach((figure, at) => figure.classList.toggle("hit", is.has(at)));
    picture.classList.toggle("searching", words.length > 0);
    by("found").textContent = !words.length ? "" : hits.length === 1 ? "1 found" : `${hits.length} found`;
    if (selected === null) results();
  };
  query.addEventListener("input", search);
  const step = (by) => {
    if (!hits.length) return;
    const at = hits.indexOf(selected);
    go(hits[at < 0 ? (by > 0 ? 0 : hits.length - 1) : (at + by + hits.length) % hits.length]);
  };
  by("search").addEventListener("submit", (event) => { event.preventDefault(); step(1); });
  query.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && event.shiftKey) { event.preventDefault(); step(-1); }
    if (event.key === "Escape") { query.value = ""; search(); query.blur(); }
  });

  // The address says what is selected, so that it can be kept, sent, and gone back from.
  const go = (at) => {
    const hash = at === null ? "" : `#${nodes[at].digest}`;
    if (location.hash !== hash) history.pushState(null, "", hash || location.pathname + location.search);
    select(at);
  };
  const arrive = () => {
    let hash = location.hash.slice(1);
    try { hash = decodeURIComponent(hash); } catch { /* It is taken as it is. */ }
    if (hash.startsWith("search=")) {
      query.value = hash.slice("search=".length);
      select(null);
      search();
      if (hits.length) show(hits[0], true);
      return;
    }
    select(places.has(hash) ? places.get(hash) : null, true);
  };
  addEventListener("popstate", arrive);
  addEventListener("hashchange", arrive);
  document.addEventListener("click", (event) => {
    const to = event.target.closest && event.target.closest("a");
    if (!to || event.ctrlKey || event.metaKey || event.shiftKey) return;
    const at = places.get((to.getAttribute("href") || "").slice(1));
    if (at === undefined) return;
    event.preventDefault();
    go(at);
  });

  // Keys: arrows walk from figure to figure, in the way the picture is drawn.
  const owned = (line) => edges[line].kind === "subject" ? [ends[line][1], ends[line][0]] : ends[line];
  const beside = (at, key) => {
    const all = [...leaving[at], ...arriving[at]].map(owned);
    const first = (found) => found.sort((a, b) => frames[a].y - frames[b].y || frames[a].x - frames[b].x)[0];
    if (key === "ArrowRight") return first(all.filter(([owner]) => owner === at).map(([, one]) => one));
    if (key === "ArrowLeft") return first(all.filter(([, one]) => one === at).map(([owner]) => owner));
    const { x, y } = frames[at], down = key === "ArrowDown";
    let best;
    frames.forEach((frame, other) => {
      if (frame.x !== x || (down ? frame.y <= y : frame.y >= y)) return;
      if (best === undefined || (down ? frame.y < frames[best].y : frame.y > frames[best].y)) best = other;
    });
    return best;
  };
  document.addEventListener("keydown", (event) => {
    if (event.target === query || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "/") { event.preventDefault(); query.focus(); query.select(); }
    else if (event.key === "+" || event.key === "=") zoom(scale * 1.25);
    else if (event.key === "-") zoom(scale / 1.25);
    else if (event.key === "0") zoom(fitting());
    else if (event.key === "1") zoom(1);
    else if (event.key === "Escape") go(null);
    else if (event.key.startsWith("Arrow")) {
      const focused = figures.indexOf(document.activeElement);
      const from = focused >= 0 ? focused : selected;
      if (from === null || details.contains(document.activeElement)) return;
      event.preventDefault();
      const to = beside(from, event.key);
      if (to === undefined) return;
      figures[to].focus({ preventScroll: true });
      go(to);
    }
  });

  by("tools").hidden = false;
  zoom(Math.max(0.6, Math.min(1, stage.clientWidth / wide)));
  stage.scrollLeft = 0;
  stage.scrollTop = 0;
  arrive();
})();
