// Everything works without this file. With it, live pages move by themselves and the theme changes without a reload.
"use strict";
(() => {
  const area = document.querySelector("[data-live]");
  document.documentElement.classList.add("js");
  const sign = document.querySelector(".live");

  // Make `now` look like `next` in place, so that bars glide, open details stay open and focus is kept.
  function morph(now, next) {
    if (now.nodeType !== next.nodeType || now.nodeName !== next.nodeName) { now.replaceWith(next.cloneNode(true)); return; }
    if (now.nodeType !== Node.ELEMENT_NODE) { if (now.nodeValue !== next.nodeValue) now.nodeValue = next.nodeValue; return; }
    for (const { name } of [...now.attributes]) if (!next.hasAttribute(name) && name !== "open") now.removeAttribute(name);
    for (const { name, value } of [...next.attributes]) if (now.getAttribute(name) !== value) now.setAttribute(name, value);
    const old = [...now.childNodes], fresh = [...next.childNodes];
    fresh.forEach((node, index) => (index < old.length ? morph(old[index], node) : now.append(node.cloneNode(true))));
    old.slice(fresh.length).forEach((node) => node.remove());
  }

  let source = null, busy = false, again = false, last = 0;

  async function refresh() {
    if (busy) { again = true; return; }
    busy = true;
    try {
      const url = new URL(location.href);
      url.searchParams.set("fragment", "live");
      const answer = await fetch(url, { credentials: "same-origin", cache: "no-store" });
      if (answer.status === 401 || answer.redirected) { stop(); location.reload(); return; }
      if (answer.ok) {
        const next = area.cloneNode(false);
        next.innerHTML = await answer.text();
        morph(area, next);
        last = Date.now();
      }
    } catch { /* the stream says when we are back */ } finally {
      busy = false;
      if (again) { again = false; refresh(); }
    }
  }

  function show(state, text) {
    sign.hidden = false;
    sign.dataset.state = state;
    sign.querySelector("[data-live-text]").textContent = text;
  }

  function start() {
    if (source || document.hidden) return;
    source = new EventSource(area.dataset.live);
    // What happened between rendering and now is not announced again: look once.
    source.onopen = () => { show("on", "Live"); refresh(); };
    source.onerror = () => show("still", "Reconnecting");
    source.addEventListener("changed", () => {
      show("on", "Live");
      requestAnimationFrame(() => show("beat", "Live"));
      refresh();
    });
  }

  function stop() {
    if (source) source.close();
    source = null;
  }

  if (area && sign && "EventSource" in window) {
    last = Date.now();
    document.addEventListener("visibilitychange", () => (document.hidden ? stop() : start()));
    addEventListener("pagehide", stop);
    addEventListener("pageshow", start);
    // Windows move on without calls, and times grow: look now and then.
    setInterval(() => { if (source && Date.now() - last > 10000) refresh(); }, 2500);
    start();
  }

  for (const form of document.querySelectorAll("[data-theme-form]")) {
    form.addEventListener("submit", (event) => {
      const button = event.submitter;
      if (!button || !window.fetch) return;
      event.preventDefault();
      const body = new URLSearchParams(new FormData(form));
      body.set("theme", button.value);
      fetch(form.action, { method: "POST", body, redirect: "manual", credentials: "same-origin" });
      document.documentElement.dataset.theme = button.value;
      for (const other of form.querySelectorAll("button")) other.setAttribute("aria-pressed", String(other === button));
    });
  }

  for (const button of document.querySelectorAll("[data-copy]")) {
    const field = button.parentElement.querySelector("[data-copy-from]");
    button.hidden = false;
    field.addEventListener("focus", () => field.select());
    button.addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText(field.value);
      } catch { // no clipboard without https: select it, so that Ctrl-C does
        field.select();
        if (!document.execCommand("copy")) return;
      }
      button.textContent = "Copied";
      setTimeout(() => { button.textContent = "Copy"; }, 2000);
    });
  }

  // A bar tells its figures at once, where the pointer is; without this file the browser shows its own title.
  let tip = null;
  document.addEventListener("pointermove", (event) => {
    const bar = event.target.closest?.(".col"), title = bar?.querySelector("title");
    if (title) { bar.dataset.tip = title.textContent; title.remove(); }
    if (!bar?.dataset.tip) { if (tip) tip.hidden = true; return; }
    if (!tip) { tip = document.createElement("div"); tip.className = "tip"; document.body.append(tip); }
    tip.hidden = false;
    tip.textContent = bar.dataset.tip;
    const box = bar.getBoundingClientRect(), half = tip.offsetWidth / 2 + 8;
    tip.style.left = `${Math.min(Math.max(box.left + box.width / 2, half), innerWidth - half) - half + 8}px`;
    tip.style.top = `${Math.max(event.clientY - tip.offsetHeight - 14, 8)}px`;
  });

  for (const here of document.querySelectorAll(".side nav [aria-current], .tabs [aria-current]"))
    here.scrollIntoView({ block: "nearest", inline: "center" });

  document.addEventListener("change", (event) => {
    const form = event.target.closest("form[data-submit-on-change]");
    if (form) form.requestSubmit();
  });

  document.addEventListener("click", (event) => {
    for (const menu of document.querySelectorAll("details.me[open]")) if (!menu.contains(event.target)) menu.open = false;
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    for (const menu of document.querySelectorAll("details.me[open]")) { menu.open = false; menu.querySelector("summary").focus(); }
  });
})();
