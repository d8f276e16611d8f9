// Draws the OpenAPI document of this server, and lets one try its operations.

const DEPTH_MAX = 6;
let spec;

const make = (name, props = {}, ...children) => {
  const element = Object.assign(document.createElement(name), props);
  element.append(...children);
  return element;
};

/** What a reference stands for; other values stand for themselves. */
const follow = (value) => {
  let found = value;
  for (let hops = 0; found?.$ref && hops < 16; hops++) {
    found = found.$ref.slice(2).split('/').reduce((at, part) => at?.[part.replaceAll('~1', '/').replaceAll('~0', '~')], spec);
  }
  return found ?? {};
};

const typeOf = (value) => {
  const schema = follow(value);
  const choices = schema.oneOf ?? schema.anyOf;
  if (choices) return choices.map(typeOf).join(' or ');
  if ('const' in schema) return JSON.stringify(schema.const);
  if (schema.enum) return schema.enum.map((one) => JSON.stringify(one)).join(', ');
  const types = [schema.type ?? 'any'].flat();
  return types.map((type) => (type === 'array' ? `list of ${typeOf(schema.items ?? {})}` : type)).join(' or ');
};

/** The object schema inside a schema, where there is one. */
const inside = (value) => {
  const schema = follow(value);
  if (schema.properties || schema.oneOf) return schema;
  if (schema.items) return inside(schema.items);
  const choice = schema.anyOf?.find((one) => follow(one).properties);
  return choice ? follow(choice) : undefined;
};

const rows = (value, depth, seen, into) => {
  const schema = inside(value);
  if (!schema || depth > DEPTH_MAX || seen.includes(schema)) return;
  for (const choice of schema.properties ? [schema] : schema.oneOf.map(follow)) {
    for (const [name, field] of Object.entries(choice.properties ?? {})) {
      const must = choice.required?.includes(name);
      const cell = make('td', {}, make('code', { textContent: name }));
      if (must) cell.append(make('span', { className: 'must', textContent: ' *', title: 'required' }));
      cell.style.setProperty('--depth', depth);
      const told = field.description ?? follow(field).description ?? '';
      into.append(make('tr', {}, cell, make('td', { textContent: typeOf(field) }), make('td', { textContent: told })));
      rows(field, depth + 1, [...seen, schema], into);
    }
  }
};

const table = (title, schema) => {
  const body = make('tbody');
  rows(schema, 0, [], body);
  if (!body.children.length) return make('p', { textContent: `${title}: ${typeOf(schema) === 'object' ? 'nothing' : typeOf(schema)}` });
  return make('div', {}, make('h3', { textContent: title }), make('table', {}, body));
};

const trial = (path) => {
  const body = make('textarea', { value: '{}', spellcheck: false, ariaLabel: 'body' });
  const out = make('pre', { hidden: true });
  const send = make('button', { type: 'button', textContent: 'Send' });
  send.onclick = async () => {
    const token = document.querySelector('#token').value.trim();
    const headers = { 'content-type': 'application/json', ...(token && { authorization: `Bearer ${token}` }) };
    out.hidden = false;
    try {
      const answer = await fetch(path, { method: 'POST', headers, body: body.value });
      const text = await answer.text();
      let shown = text;
      try { shown = JSON.stringify(JSON.parse(text), null, 2); } catch { /* shown as it is */ }
      out.textContent = `${answer.status}\n${shown}`;
    } catch (error) {
      out.textContent = String(error);
    }
  };
  return make('div', {}, make('h3', { textContent: 'Try it' }), body, send, out);
};

const operation = (path, method, told) => {
  const card = make('details', { id: told.operationId });
  card.dataset.words = `${path} ${told.summary} ${told.tags}`.toLowerCase();
  card.append(make('summary', {}, make('code', { textContent: `${method.toUpperCase()} ${path}` }), ` ${told.summary ?? ''}`));
  card.addEventListener('toggle', () => {
    if (card.children.length > 1) return;
    const part = make('div', { className: 'inside' });
    if (told.description) part.append(make('p', { textContent: told.description }));
    const input = told.requestBody?.content?.['application/json']?.schema;
    const output = follow(told.responses?.['200'] ?? told.responses?.['201']).content?.['application/json']?.schema;
    if (input) part.append(table('Question', input));
    if (output) part.append(table('Answer', output));
    if (method === 'post' && input) part.append(trial(path));
    card.append(part);
  });
  return card;
};

const draw = () => {
  const main = document.querySelector('#operations');
  main.replaceChildren();
  for (const { name, description } of spec.tags) {
    const section = make('section', {}, make('h2', { textContent: name }), make('p', { textContent: description }));
    for (const [path, methods] of Object.entries(spec.paths).sort(([a], [b]) => a.localeCompare(b))) {
      for (const [method, told] of Object.entries(methods)) {
        if (told.tags?.includes(name)) section.append(operation(path, method, told));
      }
    }
    if (section.children.length > 2) main.append(section);
  }
};

document.querySelector('#tools').onsubmit = (event) => event.preventDefault();
document.querySelector('#find').oninput = ({ target }) => {
  const words = target.value.toLowerCase().split(/\s+/u);
  for (const card of document.querySelectorAll('details')) {
    card.hidden = !words.every((word) => card.dataset.words.includes(word));
  }
};

try {
  spec = await (await fetch('/im/v1/openapi.json')).json();
  draw();
} catch (error) {
  document.querySelector('#operations').textContent = `The document cannot be read: ${error}`;
}
