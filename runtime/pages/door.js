'use strict';
// For servers that want a token: it opens pages, which a browser alone cannot ask for with one.
const policy = window.trustedTypes ? trustedTypes.createPolicy('tickline', { createHTML: (text) => text }) : null;
let shown = location.pathname;

async function visit(address, push) {
  const response = await ask(address, { headers: { Accept: 'text/html' } });
  if (!response.ok) return response.status;
  const text = await response.text();
  const page = new DOMParser().parseFromString(policy ? policy.createHTML(text) : text, 'text/html');
  clearTimeout(timer);
  find('main').replaceWith(document.adoptNode(page.getElementById('main')));
  for (const style of document.querySelectorAll('style')) style.remove();
  document.head.append(...page.querySelectorAll('style'));
  document.title = page.title;
  if (push) history.pushState(null, '', address);
  shown = location.pathname;
  start();
  const place = location.hash && find(location.hash.slice(1));
  if (place) place.scrollIntoView(); else scrollTo(0, 0);
  find('main').focus({ preventScroll: true });
  return 200;
}

function startDoor() {
  const form = find('door');
  if (!form) return;
  form.hidden = false;
  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    token = find('door-token').value.trim();
    const problem = find('door-problem');
    problem.textContent = '';
    try {
      const status = await visit(location.href, false);
      if (status === 200) return;
      problem.textContent = status === 401 ? 'This token opens nothing here.' : `The server answered ${status}.`;
    } catch {
      problem.textContent = 'This cannot be sent, or the server does not answer.';
    }
    token = '';
    find('door-token').focus();
  });
}

function startLinks() {
  document.addEventListener('click', (event) => {
    const link = event.target.closest('a');
    const pages = [...document.querySelectorAll('.bar nav a')].map((each) => each.pathname);
    if (!token || !link || !pages.includes(link.pathname) || link.pathname === location.pathname) return;
    if (event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    visit(link.href, true).catch(() => { location.href = link.href; });
  });
  addEventListener('popstate', () => {
    if (location.pathname === shown) return;
    if (token) visit(location.href, false); else location.reload();
  });
}

addEventListener('DOMContentLoaded', () => {
  startLinks();
  startDoor();
});
