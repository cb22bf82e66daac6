'use strict';
// The pages read well without it; it sends the form, draws the figures, and copies commands.
const PERIOD = 2000, KEPT = 91, WINDOW = 5; // milliseconds between scrapes; scrapes that are kept; periods of the tiles
const root = document.documentElement;
const find = (id) => document.getElementById(id);
let token = ''; // held here and in its field alone
let timer = 0;

function make(tag, properties, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

function say(text) { find('announcer').textContent = text; }

function ask(path, options = {}) {
  const headers = { ...options.headers, ...(token && { Authorization: 'Bearer ' + token }) };
  return fetch(path, { cache: 'no-store', ...options, headers, signal: AbortSignal.timeout(30000) });
}

// Colours

function readTheme() {
  try { return localStorage.getItem('theme') || 'auto'; } catch { return 'auto'; }
}

function setTheme(theme) {
  root.dataset.theme = theme;
  try { localStorage.setItem('theme', theme); } catch { /* it holds until the page is left */ }
}

function startTheme() {
  const fieldset = document.querySelector('.theme');
  fieldset.hidden = false;
  fieldset.querySelector(`[value="${root.dataset.theme}"]`).checked = true;
  fieldset.addEventListener('change', (event) => setTheme(event.target.value));
}

// Commands

function startExamples() {
  const here = new URL('./', location.href).href.slice(0, -1); // behind a proxy the server knows another address
  for (const code of document.querySelectorAll('.example')) {
    code.textContent = code.textContent.replaceAll(root.dataset.address, here);
    const button = make('button', { type: 'button', textContent: 'Copy' });
    const owner = code.closest('.route, .operation');
    if (owner) button.setAttribute('aria-label', 'Copy: ' + owner.querySelector('summary, h3').textContent.replace(/\s+/g, ' ').trim());
    button.addEventListener('click', () => copy(code, button));
    const box = make('div', { className: 'copied' });
    code.replaceWith(box);
    box.append(code, button);
  }
}

async function copy(code, button) {
  try {
    await navigator.clipboard.writeText(code.textContent);
  } catch { // no clipboard without TLS, except on this machine
    getSelection().selectAllChildren(code);
    document.execCommand('copy');
  }
  button.textContent = 'Copied';
  say('Copied');
  setTimeout(() => { button.textContent = 'Copy'; }, 1500);
}

// The form

class Refusal extends Error {
  constructor(message, field, line) {
    super(message);
    this.field = field;
    this.line = line;
  }
}

function startForms() {
  if (!find('row')) return;
  for (const fieldset of document.querySelectorAll('#row fieldset, #bars fieldset')) fieldset.disabled = false;
  for (const radio of document.getElementsByName('form')) {
    radio.addEventListener('change', () => {
      find('row').hidden = radio.value !== 'row';
      find('bars').hidden = radio.value !== 'bars';
    });
  }
  if (find('token')) {
    find('token').value = token;
    find('token').addEventListener('input', () => { token = find('token').value.trim(); });
  }
  find('row').addEventListener('submit', (event) => submit(event, 'predict', readRow));
  find('row').addEventListener('paste', paste);
  find('row').addEventListener('reset', () => clearMarks());
  find('clear').addEventListener('click', () => {
    for (const field of fields()) field.value = '';
    fields()[0].focus();
  });
  const csv = find('csv');
  if (!csv) return;
  find('bars').addEventListener('submit', (event) => submit(event, 'predict/bars', readBars));
  find('csv-file').addEventListener('change', async (event) => {
    if (event.target.files.length) csv.value = await event.target.files[0].text();
  });
  find('example-bars').addEventListener('click', () => { csv.value = exampleBars(); });
}

function exampleBars() {
  const lines = ['Date,Open,High,Low,Close,Volume'];
  let close = 100;
  for (let day = 0; day < 120; day++) {
    const open = close;
    close = 100 + day / 10 + 4 * Math.sin(day / 9) + 1.5 * Math.sin(day * day);
    const prices = [open, Math.max(open, close) + .5, Math.min(open, close) - .5, close].map((price) => price.toFixed(2));
    lines.push([new Date(Date.UTC(2026, 0, 1 + day)).toISOString().slice(0, 10), ...prices, 1e6 + 1000 * (day % 7)].join());
  }
  return lines.join('\n');
}

function fields() { return [...find('row').querySelectorAll('input, textarea')]; }

function clearMarks() {
  for (const field of document.querySelectorAll('[aria-invalid]')) field.removeAttribute('aria-invalid');
}

const numbers = (text) => text.split(/[\s,;[\]]+/).filter(Boolean).map(Number);

function paste(event) {
  const values = numbers(event.clipboardData.getData('text'));
  const inputs = fields();
  if (inputs.length < 2 || values.length < 2 || !values.every(Number.isFinite)) return;
  event.preventDefault();
  const from = values.length >= inputs.length ? 0 : inputs.indexOf(event.target);
  inputs.slice(from).forEach((input, index) => { if (index < values.length) input.value = values[index]; });
  say(`${Math.min(values.length, inputs.length - from)} values pasted`);
}

function readRow() {
  const inputs = fields();
  if (inputs.length === 1 && inputs[0].dataset.width) {
    const values = numbers(inputs[0].value);
    if (values.length !== Number(inputs[0].dataset.width) || !values.every(Number.isFinite)) {
      throw new Refusal(`Expected ${inputs[0].dataset.width} numbers, got ${values.length}.`, inputs[0]);
    }
    return sendRow(values);
  }
  for (const input of inputs) {
    if (input.value.trim() === '' || !input.checkValidity()) throw new Refusal(`${input.labels[0].textContent} needs a number.`, input);
  }
  return sendRow(inputs.map((input) => Number(input.value)));
}

const sendRow = (features) => ({ body: JSON.stringify({ features }), type: 'application/json' });

function readBars() {
  const field = find('csv');
  if (!field.value.trim()) throw new Refusal('Paste some bars first.', field);
  return { body: field.value, type: 'text/csv' };
}

async function submit(event, path, read) {
  event.preventDefault();
  clearMarks();
  const verdict = find('verdict'), detail = find('detail');
  const button = event.target.querySelector('button');
  if (button.hasAttribute('aria-disabled')) return;
  try {
    const { body, type } = read();
    button.setAttribute('aria-disabled', 'true');
    const began = performance.now();
    const response = await ask(path, {
      method: 'POST',
      headers: { 'Content-Type': type, 'Server-Timing': '1' },
      body,
    });
    const reply = await response.json();
    const took = performance.now() - began;
    if (!response.ok) throw refused(response, reply, path);
    if (reply.tickers) {
      verdict.replaceChildren(make('p', {}, `${reply.count} predicted, ${reply.failed} failed.`));
      detail.replaceChildren(tickers(reply.tickers), aside(reply, took));
    } else {
      verdict.replaceChildren(answer(reply));
      detail.replaceChildren(probabilities(reply.probabilities), ...stages(response.headers.get('Server-Timing')), aside(reply, took));
    }
    find('result').scrollIntoView({ block: 'nearest' });
  } catch (error) {
    const text = error instanceof Refusal ? error.message : 'The server does not answer, or a proxy stands between.';
    verdict.replaceChildren(make('p', { className: 'problem', textContent: text }));
    detail.replaceChildren();
    if (error.field) {
      error.field.setAttribute('aria-invalid', 'true');
      error.field.focus();
      if (error.line) selectLine(error.field, error.line);
    }
  } finally {
    button.removeAttribute('aria-disabled');
  }
}

function refused(response, problem, path) {
  if (response.status === 401) return new Refusal('The server wants a token, or another one.', find('token'));
  const [, feature, line] = /^(?:features\[(\d+)\]|line (\d+))/.exec(problem.field || '') || [];
  const field = path === 'predict' ? feature && find('f' + feature) : find('csv');
  return new Refusal(problem.detail || `The server answered ${response.status}.`, field || null, Number(line));
}

function selectLine(field, line) {
  const before = field.value.split('\n').slice(0, line - 1).join('\n').length + (line > 1);
  const end = field.value.indexOf('\n', before);
  field.setSelectionRange(before, end < 0 ? field.value.length : end);
  field.scrollTop = field.scrollHeight * (line - 3) / field.value.split('\n').length;
}

const percent = (value) => (100 * value).toFixed(1) + ' %';
const colour = (label) => ({ UP: 'up', DOWN: 'down' })[label] || '';

function answer(reply) {
  const parts = [make('strong', { className: colour(reply.prediction_label) }, reply.prediction_label), ' ', make('span', {}, percent(reply.probability))];
  if (reply.bar) parts.push(' ', make('span', {}, reply.bar.date ? `after ${reply.bar.date}` : `after bar ${reply.bar.index + 1}`));
  return make('p', { className: 'verdict' }, ...parts);
}

function measure(name, share, text) {
  const meter = make('meter', { min: 0, max: 1, value: share });
  meter.setAttribute('aria-hidden', 'true');
  return make('div', {}, make('dt', {}, name), meter, make('dd', {}, text));
}

function probabilities(values) {
  return make('dl', { className: 'bars' }, ...Object.entries(values).map(([label, value]) => measure(label, value, percent(value))));
}

function stages(header) {
  if (!header) return [];
  const parts = header.split(',').map((part) => part.trim().split(';dur='));
  const total = Number(parts.find(([name]) => name === 'total')[1]);
  const list = parts.map(([name, milliseconds]) => measure(name, Number(milliseconds) / total, duration(milliseconds / 1000)));
  return [make('h4', {}, 'Where the time went in the server'), make('dl', { className: 'bars stages' }, ...list)];
}

function tickers(replies) {
  const rows = Object.entries(replies).map(([name, reply]) => {
    const text = reply.error ? reply.error.detail : `${reply.prediction_label} ${percent(reply.probability)}`;
    return make('div', {}, make('dt', {}, name), make('dd', { className: reply.error ? 'problem' : colour(reply.prediction_label) }, text));
  });
  return make('dl', { className: 'list' }, ...rows);
}

function aside(reply, took) {
  return make('p', { className: 'note' }, `Model ${reply.model_version}, ${reply.timestamp}. ${duration(took / 1000)} from this browser and back.`);
}

function duration(seconds) {
  if (seconds >= 1) return `${seconds.toPrecision(3)} s`;
  if (seconds >= 1e-3) return `${(seconds * 1e3).toPrecision(3)} ms`;
  return `${(seconds * 1e6).toPrecision(seconds < 1e-5 ? 2 : 3)} µs`;
}

// The figures

function parse(text) {
  const routes = new Map();
  for (const line of text.split('\n')) {
    const found = /^http_request(s_total|_duration_seconds_bucket){(.*)} (\S+)$/.exec(line);
    if (!found || (found[1] === 's_total' && !Number(found[3]))) continue; // some are told of before the first request
    const labels = Object.fromEntries([...found[2].matchAll(/(\w+)="([^"]*)"/g)].map((match) => [match[1], match[2]]));
    if (!routes.has(labels.route)) routes.set(labels.route, { buckets: new Map(), failed: 0 });
    const route = routes.get(labels.route);
    if (found[1] !== 's_total') route.buckets.set(labels.le === '+Inf' ? Infinity : Number(labels.le), Number(found[3]));
    else if (labels.status >= 500) route.failed += Number(found[3]);
  }
  return { at: performance.now() / 1000, routes };
}

const predicts = (route) => route.startsWith('/predict') || route.startsWith('/symbols/') || route.endsWith('/infer');

// What happened between two scrapes on a route, or on all that predict.
function between(before, after, wanted) {
  const buckets = new Map();
  let failed = 0;
  for (const [name, route] of after.routes) {
    if (wanted ? name !== wanted : !predicts(name)) continue;
    const old = before.routes.get(name);
    for (const [bound, count] of route.buckets) buckets.set(bound, (buckets.get(bound) || 0) + count - (old ? old.buckets.get(bound) : 0));
    failed += route.failed - (old ? old.failed : 0);
  }
  const bounds = [...buckets].sort((one, other) => one[0] - other[0]);
  const count = bounds.length ? bounds.at(-1)[1] : 0;
  if (count < 0) return null; // the server began anew
  const seconds = after.at - before.at;
  return { at: after.at, rate: count / seconds, failed: failed / seconds, quantile: (share) => quantile(bounds, count * share) };
}

// As Prometheus does it: a bucket's requests are taken to be spread evenly over it.
function quantile(bounds, rank) {
  let lower = 0, below = 0;
  for (const [bound, count] of bounds) {
    if (count >= rank && count > below) return bound === Infinity ? lower : lower + (bound - lower) * (rank - below) / (count - below);
    lower = bound;
    below = count;
  }
  return null;
}

function startLive() {
  if (!find('charts')) return;
  const scrapes = [];
  const select = find('route'), pause = find('pause'), state = find('live-state');
  let paused = false, near = false; // a scrape costs the server a little, so only those who look make any
  new IntersectionObserver((seen) => { near = seen.at(-1).isIntersecting; }, { rootMargin: '100%' }).observe(find('live'));
  find('charts').hidden = false;
  for (const svg of find('charts').querySelectorAll('svg')) svg.append(note('The first figures take a few seconds'));
  document.querySelector('.controls').hidden = false;
  pause.addEventListener('click', () => {
    paused = !paused;
    pause.setAttribute('aria-pressed', paused);
    pause.textContent = paused ? 'Resume' : 'Pause';
  });
  select.addEventListener('change', () => draw(scrapes, select.value));

  async function scrape() {
    timer = setTimeout(scrape, near ? PERIOD : PERIOD / 10);
    if (paused || !near || document.hidden) return;
    let problem = '';
    try {
      const response = await ask('metrics', { headers: { Accept: 'text/plain' } });
      if (response.ok) {
        scrapes.push(parse(await response.text()));
        if (scrapes.length > KEPT) scrapes.shift();
        offer(select, scrapes.at(-1).routes);
        draw(scrapes, select.value);
      } else if (response.status === 401 || response.status === 403) {
        problem = 'The metrics need a token that this page does not have.';
      } else {
        problem = response.status === 404 ? 'The metrics are not on this port.' : `The metrics were answered with ${response.status}.`;
      }
    } catch {
      problem = 'The server does not answer; asking again.';
    }
    if (state.textContent !== problem) state.textContent = problem;
  }
  scrape();
}

function offer(select, routes) {
  const known = new Set([...select.options].map((option) => option.value));
  for (const route of routes.keys()) if (!known.has(route)) select.append(make('option', { value: route }, route));
}

function draw(scrapes, wanted) {
  if (scrapes.length < 2) return;
  const points = scrapes.slice(1).map((scrape, index) => between(scrapes[index], scrape, wanted)).filter(Boolean);
  const recent = between(scrapes.at(-Math.min(scrapes.length, WINDOW + 1)), scrapes.at(-1), wanted);
  if (!points.length || !recent) return;
  const figure = (value, form) => (value === null ? '–' : form(value));
  const perSecond = (value) => (value < 10 ? value.toFixed(1) : Math.round(value).toLocaleString('en'));
  find('rate').textContent = perSecond(recent.rate);
  find('failed').textContent = perSecond(recent.failed);
  for (const share of [50, 95, 99]) find('p' + share).textContent = figure(recent.quantile(share / 100), duration);
  const now = points.at(-1).at;
  const rates = points.map((point) => [now - point.at, point.rate]);
  const medians = points.map((point) => [now - point.at, point.quantile(.5)]);
  const tails = points.map((point) => [now - point.at, point.quantile(.99)]);
  chart('rate', [['trace', rates]], perSecond);
  chart('latency', [['trace', medians], ['trace tail', tails]], duration);
  find('rate-text').textContent = `Now ${perSecond(recent.rate)} a second, at most ${perSecond(Math.max(...rates.map((each) => each[1])))} in what is drawn.`;
  find('latency-text').textContent = `Now a median of ${figure(recent.quantile(.5), duration)} and a 99th percentile of ${figure(recent.quantile(.99), duration)}.`;
}

function chart(name, series, form) {
  const svg = find(name + '-chart');
  const left = 64, right = 556, top = 8, bottom = 172;
  const span = 30 * Math.max(1, Math.ceil(series[0][1][0][0] / 30)); // seconds
  const values = series.flatMap((each) => each[1]).map((point) => point[1]).filter((value) => value !== null);
  const highest = ceiling(Math.max(0, ...values)) || (name === 'rate' ? 1 : 1e-3);
  const x = (age) => right - (right - left) * Math.min(age / span, 1);
  const y = (value) => bottom - (bottom - top) * value / highest;
  const shapes = [];
  for (const share of [0, .5, 1]) {
    shapes.push(shape('path', { class: 'axis', d: `M${left} ${y(highest * share)}H${right}` }));
    shapes.push(shape('text', { x: left - 8, y: y(highest * share) + 4, 'text-anchor': 'end' }, share ? form(highest * share) : '0'));
  }
  shapes.push(shape('text', { x: left, y: 194 }, span < 60 ? `${span} s ago` : `${span / 60} min ago`), shape('text', { x: right, y: 194, 'text-anchor': 'end' }, 'now'));
  for (const [kind, points] of series) {
    let line = '', from = null, last = null;
    for (const [age, value] of points) {
      if (value === null) { from = null; continue; }
      line += `${from === null ? 'M' : 'L'}${x(age).toFixed(1)} ${y(value).toFixed(1)}`;
      if (from === null) line += 'h.01'; // one point alone is a dot
      from = from === null ? age : from;
      last = age;
    }
    if (name === 'rate' && line) shapes.push(shape('path', { class: 'under', d: `${line}V${bottom}H${x(points[0][0]).toFixed(1)}Z` }));
    shapes.push(shape('path', { class: kind, d: line }));
  }
  if (!values.some(Boolean)) shapes.push(note('No requests in this time'));
  svg.replaceChildren(svg.querySelector('title'), ...shapes);
}

function note(text) { return shape('text', { x: 310, y: 82, 'text-anchor': 'middle' }, text); }

// The least of 1, 2, 2.5, 5 and 10 times a power of ten that is not below a value.
function ceiling(value) {
  const power = 10 ** Math.floor(Math.log10(value || 1));
  return value && power * [1, 2, 2.5, 5, 10].find((step) => step * power >= value * .999);
}

function shape(tag, attributes, text = '') {
  const element = document.createElementNS('http://www.w3.org/2000/svg', tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.textContent = text;
  return element;
}

// All of it

// What scrolls can be reached by the keyboard.
function startScrolling() {
  for (const box of document.querySelectorAll('pre, .scroll')) {
    if (box.scrollHeight > box.clientHeight || box.scrollWidth > box.clientWidth) box.tabIndex = 0;
  }
}

function start() {
  const contents = document.querySelector('.contents details');
  if (contents) contents.open = matchMedia('(min-width: 60rem)').matches;
  for (const link of document.querySelectorAll('.bar nav a')) {
    if (link.pathname === location.pathname) link.setAttribute('aria-current', 'page'); else link.removeAttribute('aria-current');
  }
  startExamples();
  startScrolling();
  startForms();
  startLive();
}

root.dataset.theme = readTheme();
addEventListener('DOMContentLoaded', () => {
  startTheme();
  document.addEventListener('toggle', startScrolling, true);
  start();
});
