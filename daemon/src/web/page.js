// Keeps the page fresh: asks for it again, and replaces what has changed. Forms that a person fills in are left alone.
"use strict";

const EVERY_MS = 2000;
const LIMIT_MS = 10000;

const lost = document.getElementById("lost");

async function refresh() {
  const answer = await fetch("/?live", { signal: AbortSignal.timeout(LIMIT_MS) });
  if (!answer.ok) throw new Error(answer.statusText);
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const old of document.querySelectorAll("[data-live]")) {
    const now = fresh.getElementById(old.id);
    if (now && now.outerHTML !== old.outerHTML) replace(old, document.adoptNode(now));
  }
  document.title = fresh.title;
}

function replace(old, now) {
  const focused = old.contains(document.activeElement) ? document.activeElement.textContent : null;
  old.replaceWith(now);
  if (focused !== null) {
    [...now.querySelectorAll("button, a")].find((it) => it.textContent === focused)?.focus();
  }
}

async function keepFresh() {
  if (!document.hidden) {
    try {
      await refresh();
      lost.hidden = true;
    } catch {
      lost.hidden = false;
    }
  }
  setTimeout(keepFresh, EVERY_MS);
}

setTimeout(keepFresh, EVERY_MS);
